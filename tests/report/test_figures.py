"""The figure: what is drawn, in which colours, and the forms that it is written in."""

from __future__ import annotations

import io
import re
import xml.etree.ElementTree as ElementTree

import pytest
from made_up_runs import row
from PIL import Image

from noisewise.report.drawing import COLOURS, MARKERS, colours_of, inline_svg, markers_of, spread, to_bytes
from noisewise.report.figures import f1_vs_rate
from noisewise.report.summary import cells_of


def made(rates=(0.2, 0.5), **other) -> list:
    return cells_of(
        [
            row(init, method, f1=0.5 + 0.1 * (init != "random") - 0.2 * rate, seed=seed, rate=rate, **other)
            for rate in rates
            for init in ("random", "simclr")
            for method in ("cross_entropy", "coteaching")
            for seed in (0, 1)
        ]
    )


def test_a_panel_a_dataset_and_method_with_axes_that_say_what_they_are():
    figure = f1_vs_rate(made())
    left, right = figure.axes
    assert (left.get_title(), right.get_title()) == ("elpv, cross_entropy", "elpv, coteaching")
    assert left.get_xlabel() == "symmetric noise rate"
    assert left.get_ylabel().replace("\n", " ") == "macro-F1 on the test set"
    assert list(left.get_xticks()) == [0.2, 0.5]
    assert {text.get_text() for text in left.texts} == {"random", "simclr"}  # named at the lines


def test_one_rate_gives_inits_side_by_side_with_their_seeds():
    axes = f1_vs_rate(made(rates=(0.5,))).axes[0]
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["random", "simclr"]
    assert axes.get_xlabel() == "symmetric 0.5 noise"
    assert sum(len(line.get_xdata()) == 2 and line.get_marker() == "." for line in axes.lines) == 4


def test_a_grid_without_results_says_so():
    axes = f1_vs_rate(cells_of([row(state="waiting"), row(state="waiting", rate=0.2)])).axes[0]
    assert [text.get_text() for text in axes.texts] == ["no result yet"]


def test_colours_and_markers_are_the_same_in_every_report():
    assert colours_of(["simclr", "new"])["simclr"] == colours_of(["random", "simclr"])["simclr"]
    many = colours_of([*COLOURS, "new", "newer"])
    assert len(set(colours_of(["simclr", "a", "b", "c"]).values())) == 4
    assert set(many) == {*COLOURS, "new", "newer"}
    assert len(set(markers_of([*MARKERS, "new", "newer"]).values())) == len(MARKERS) + 2


def test_labels_keep_their_distance_and_stay_inside():
    assert spread([0.2, 0.5], 0.1) == [0.2, 0.5]
    assert spread([0.5, 0.5], 0.1) == [0.5, 0.6]
    assert spread([0.99, 1.0], 0.1) == [0.9, 1.0]
    assert spread([], 0.1) == []


def test_png_svg_and_pdf_can_be_read_and_repeat_to_the_byte():
    figure = f1_vs_rate(made())
    assert Image.open(io.BytesIO(to_bytes(figure, "png"))).size[0] > 800
    svg = to_bytes(figure, "svg")
    assert ElementTree.fromstring(svg).tag.endswith("svg")
    assert to_bytes(figure, "pdf").startswith(b"%PDF")
    assert to_bytes(f1_vs_rate(made()), "svg") == to_bytes(f1_vs_rate(made()), "svg")


def test_names_are_neither_mathematics_nor_markup():
    figure = f1_vs_rate(made(dataset="<script>$\\frac$"))
    svg = inline_svg(figure, "label")
    assert "&lt;script&gt;$\\frac$" in svg
    assert "<script" not in svg


def test_the_inlined_figure_takes_the_pages_colours_and_names_no_address():
    svg = inline_svg(f1_vs_rate(made()), "what it shows")
    assert svg.startswith('<svg role="img" aria-label="what it shows"')
    assert "currentColor" in svg
    assert not re.search(r"https?:", svg)


@pytest.mark.parametrize("kind", ["none", "symmetric"])
def test_a_single_seed_has_no_bars_and_still_a_picture(kind):
    rate = 0.0 if kind == "none" else 0.5
    figure = f1_vs_rate(cells_of([row(f1=0.5, noise=kind, rate=rate)]))
    assert Image.open(io.BytesIO(to_bytes(figure, "png"))).size[1] > 200
