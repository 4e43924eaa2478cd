"""The learning curve: drawn where there are several fractions, on an axis of images."""

from __future__ import annotations

import io
from dataclasses import replace

import pytest
from made_up_runs import row
from PIL import Image

from noisewise.report.drawing import to_bytes
from noisewise.report.learning_curve import f1_vs_size, spaced
from noisewise.report.summary import cells_of


def made(fractions=(1.0, 0.1, 0.3), **other) -> list:
    return cells_of(
        [
            row(init, method, f1=0.5 + 0.1 * fraction, seed=seed, fraction=fraction, **other)
            for fraction in fractions
            for init in ("random", "simclr")
            for method in ("cross_entropy", "coteaching")
            for seed in (0, 1)
        ]
    )


def test_a_panel_a_method_with_the_images_that_fractions_are():
    rows = [replace(one, train_images=round(1706 * one.fraction)) for cell in made() for one in cell.rows]
    figure = f1_vs_size(cells_of(rows))
    left, right = figure.axes
    assert (left.get_title(), right.get_title()) == (
        "elpv, symmetric 0.5, cross_entropy",
        "elpv, symmetric 0.5, coteaching",
    )
    assert (left.get_xscale(), left.get_xlabel(), list(left.get_xticks())) == (
        "log",
        "training images",
        [0.1, 0.3, 1.0],
    )
    assert [tick.get_text() for tick in left.get_xticklabels()] == ["10%\n171", "30%\n512", "100%\n1,706"]
    assert {text.get_text() for text in left.texts} == {"random", "simclr"}
    assert Image.open(io.BytesIO(to_bytes(figure, "png"))).size[0] > 800


def test_lines_rise_from_the_smallest_fraction_to_the_largest():
    axes = f1_vs_size(made()).axes[0]
    best = [line for line in axes.lines if line.get_linestyle() == "-" and len(line.get_xdata()) == 3]
    assert len(best) == 2
    for line in best:
        assert list(line.get_xdata()) == pytest.approx([0.1, 0.3, 1.0], rel=0.03)
        assert list(line.get_ydata()) == pytest.approx([0.51, 0.53, 0.6])


def test_one_fraction_has_no_curve_and_no_result_still_has_axes():
    assert f1_vs_size(made(fractions=(0.1,))) is None
    axes = f1_vs_size(cells_of([row(state="waiting", fraction=fraction) for fraction in (0.1, 1.0)])).axes[0]
    assert [text.get_text() for text in axes.texts] == ["no result yet"]
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["10%", "100%"]


def test_a_row_of_panels_a_noise():
    cells = made() + made(rate=0.2) + made(fractions=(1.0,), dataset="nct")
    assert [axes.get_title() for axes in f1_vs_size(cells).axes[::2]] == [
        "elpv, symmetric 0.5, cross_entropy",
        "elpv, symmetric 0.2, cross_entropy",
    ]


def test_labels_that_would_touch_are_left_out_but_the_largest():
    assert spaced([0.1, 0.3, 1.0]) == [1.0, 0.3, 0.1]
    assert spaced([0.1, 0.2, 0.3, 0.5, 0.8, 0.9, 1.0]) == [1.0, 0.5, 0.3, 0.1]
