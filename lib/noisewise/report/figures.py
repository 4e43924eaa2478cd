"""Macro-F1 against the noise rate: a row of panels a dataset and kind of noise, a column a method, a colour an init."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from math import nan
from typing import TYPE_CHECKING

from noisewise.report import words
from noisewise.report.summary import Cell, Task, noise_groups, tasks_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Mostly Okabe and Ito's colours, safe for the colour-blind, each visible on white and on black.
# Labels at the lines name the inits, for print in grey.
COLOURS = {
    "random": "#767676",
    "simclr": "#0072B2",
    "imagenet": "#E69F00",
    "moco_v2": "#009E73",
    "barlow_twins": "#CC79A7",
    "rotation": "#D55E00",
    "jigsaw": "#56B4E9",
    "imagenet+simclr": "#8250C4",
    "vae": "#8C6D1F",
    "jigmag": "#B0447A",
    "bigbigan": "#4B8B3B",
}
MARKERS = {"cross_entropy": "o", "coteaching": "s", "dividemix": "^", "elr": "D", "gce": "v"}
SPARE_MARKERS = "Pphd<>X*"
INK = "#24292f"  # text and axes: the page turns this very colour into its own text colour
PAPER = "#fffffe"  # inside hollow markers: the page turns it into its own background
LAST_SHIFT = 0.13
SEED_SHIFT = 0.08  # single seeds beside their mean, away from the other score
LABEL_GAP = 0.075  # of a panel's height, between labels of lines
MAX_SCALE = 1.8  # page pixels for a point of the figure, at most
STYLE = {
    "font.family": "sans-serif",
    "font.size": 9,
    "axes.titlesize": 9.5,
    "text.color": INK,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "grid.color": "#8c959f",
    "grid.alpha": 0.3,
    "svg.fonttype": "none",
    "svg.hashsalt": "noisewise",
    "pdf.fonttype": 42,
}


Ends = dict[str, tuple[float, float]]  # of an init's line: noise rate and score


def f1_vs_rate(cells: Sequence[Cell]) -> Figure:
    """The figure, not tied to any display. Tasks without a result keep an empty panel that says so."""
    import matplotlib
    from matplotlib.figure import Figure

    groups, tasks = noise_groups(tasks_of(cells)), tasks_of(cells)
    inits = list(dict.fromkeys(cell.init for cell in cells))
    methods = list(dict.fromkeys(cell.method for cell in cells))
    colours, markers = colours_of(inits), markers_of(methods)
    with matplotlib.rc_context(STYLE):
        width = max(5.2, 1.0 + len(methods) * max(2.6, 0.75 * len(inits)))
        figure = Figure(figsize=(width, 0.7 + 2.7 * len(groups)), layout="constrained")
        panels = figure.subplots(len(groups), len(methods), squeeze=False, sharey="row")
        for line, group in zip(panels, groups, strict=True):
            ends = []
            for axes, method in zip(line, methods, strict=True):
                shown = [cell for cell in cells if cell.method == method and cell.task in group]
                axes.set_title(plain(f"{words.place(group[-1], tasks)}, {method}"))
                if len(group) > 1:
                    ends.append(_lines(axes, shown, group, colours, markers[method]))
                else:
                    _dots(axes, shown, group[0], inits, colours, markers[method])
                if not any(cell.stat("f1_best") for cell in shown):
                    axes.text(0.5, 0.5, "no result yet", transform=axes.transAxes, ha="center", va="center")
            _common_scale(line)
            for axes, heights in zip(line, ends, strict=False):  # no lines, no ends
                _name_lines(axes, heights, colours)
        _legend(figure, seeds=any(len(group) == 1 for group in groups))
    return figure


def colours_of(inits: Sequence[str]) -> dict[str, str]:
    """A colour an init: always the same for known ones, the unused ones in turn for others."""
    spare = [colour for name, colour in COLOURS.items() if name not in inits] or list(COLOURS.values())
    others = [name for name in inits if name not in COLOURS]
    return {name: COLOURS.get(name) or spare[others.index(name) % len(spare)] for name in inits}


def markers_of(methods: Sequence[str]) -> dict[str, str]:
    others = [name for name in methods if name not in MARKERS]
    return {name: MARKERS.get(name) or SPARE_MARKERS[others.index(name) % len(SPARE_MARKERS)] for name in methods}


def _lines(axes: Axes, cells: Sequence[Cell], group: Sequence[Task], colours: dict[str, str], marker: str) -> Ends:
    """Score against rate: best solid, last dashed. Returns where each init's best line ends."""
    span = group[-1].rate - group[0].rate or 1.0
    inits = list(dict.fromkeys(cell.init for cell in cells))
    ends = {}
    for index, init in enumerate(inits):
        shift = span * 0.012 * (index - (len(inits) - 1) / 2)  # so that bars of two inits do not hide each other
        mine = sorted((cell for cell in cells if cell.init == init), key=lambda cell: cell.task.rate)
        for score, line in (("f1_best", "-"), ("f1_last", "--")):
            known = [(cell, cell.stat(score)) for cell in mine if cell.stat(score)]
            if known:
                x = [cell.task.rate + shift for cell, _ in known]
                _bars(axes, x, [found for _, found in known], colours[init], marker, line)
            if known and score == "f1_best":
                ends[init] = (x[-1], known[-1][1].mean)
    axes.set_xticks(sorted({task.rate for task in group}))
    axes.set_xlim(group[0].rate - 0.06 * span, group[-1].rate + 0.06 * span)
    axes.set_xlabel(plain(f"{group[-1].noise} noise rate"))
    return ends


def _dots(
    axes: Axes, cells: Sequence[Cell], task: Task, inits: Sequence[str], colours: dict[str, str], marker: str
) -> None:
    """One rate only: inits side by side, best filled and last hollow."""
    for cell in cells:
        x = inits.index(cell.init)
        for score, side in (("f1_best", -LAST_SHIFT), ("f1_last", LAST_SHIFT)):
            if found := cell.stat(score):
                seeds = list(cell.by_seed(score).values())
                if len(seeds) > 1:
                    beside = x + side + (SEED_SHIFT if side > 0 else -SEED_SHIFT)
                    axes.plot([beside] * len(seeds), seeds, ".", color=colours[cell.init], markersize=4, alpha=0.7)
                _bars(axes, [x + side], [found], colours[cell.init], marker, "-" if score == "f1_best" else "--")
    axes.set_xticks(range(len(inits)), [plain(init).replace("+", "\n+ ") for init in inits])
    axes.set_xlim(-0.6, len(inits) - 0.4)
    axes.set_xlabel(plain(words.noise(task) + ("" if task.noise == "none" else " noise")))


def _bars(axes: Axes, x: list[float], stats: list, colour: str, marker: str, line: str) -> None:
    axes.errorbar(
        x,
        [found.mean for found in stats],
        yerr=[nan if found.sd is None else found.sd for found in stats],
        color=colour,
        marker=marker,
        linestyle=line,
        markersize=6.5 if line == "-" else 5.5,
        markerfacecolor=colour if line == "-" else PAPER,
        linewidth=1.6 if line == "-" else 1.1,
        elinewidth=1.0,
        capsize=2.5,
        zorder=3,
    )


def _common_scale(line: Sequence[Axes]) -> None:
    """One y axis for a row of panels, within [0, 1]."""
    line[0].set_ylabel("macro-F1 on the\nclean test set")
    low, high = line[0].get_ylim() if any(axes.has_data() for axes in line) else (0.0, 1.0)
    line[0].set_ylim(max(0.0, low), min(1.0, high))


def _name_lines(axes: Axes, ends: Ends, colours: dict[str, str]) -> None:
    """Each init's name beside the end of its best line; the axis must have its final limits."""
    low, high = axes.get_ylim()
    rising = sorted(ends, key=lambda init: ends[init][1])
    heights = spread([(ends[init][1] - low) / (high - low) for init in rising], LABEL_GAP)
    for init, height in zip(rising, heights, strict=True):
        where = {"xy": (ends[init][0], height), "xycoords": ("data", "axes fraction"), "va": "center"}
        offset = {"xytext": (8, 0), "textcoords": "offset points", "annotation_clip": False}
        axes.annotate(plain(init), color=colours[init], fontsize=8, **where, **offset)


def spread(heights: Sequence[float], gap: float) -> list[float]:
    """Rising heights, moved as little as a sweep up and one down need to keep `gap` between them and stay below 1."""
    moved: list[float] = []
    for height in heights:
        moved.append(max(height, moved[-1] + gap) if moved else height)
    ceiling = 1.0
    for index in reversed(range(len(moved))):
        moved[index] = min(moved[index], ceiling)
        ceiling = moved[index] - gap
    return moved


def _legend(figure: Figure, seeds: bool) -> None:
    from matplotlib.lines import Line2D

    keys = [
        Line2D([], [], color=INK, marker="o", markersize=6, label="best epoch (by clean validation)"),
        Line2D(
            [],
            [],
            color=INK,
            marker="o",
            markerfacecolor=PAPER,
            linestyle="--",
            lw=1.1,
            label="last epochs",
        ),
    ]
    if seeds:
        keys.append(Line2D([], [], color=INK, marker=".", markersize=4, linestyle="", label="one seed"))
    keys.append(Line2D([], [], linestyle="", label="bars: ± sd over seeds"))
    figure.legend(handles=keys, loc="outside upper center", ncols=len(keys), frameon=False, fontsize=8)


def plain(text: str) -> str:
    """Text that matplotlib does not take for mathematics."""
    return text.replace("$", r"\$")


def to_bytes(figure: Figure, form: str) -> bytes:
    """The figure as "png", "pdf" or "svg"; the same bytes for the same figure."""
    import matplotlib

    buffer = io.BytesIO()
    undated = {"svg": {"Date": None}, "pdf": {"CreationDate": None}, "png": {}}
    with matplotlib.rc_context(STYLE):
        figure.savefig(buffer, format=form, dpi=200, metadata=undated[form], facecolor="white")
    return buffer.getvalue()


def inline_svg(figure: Figure, label: str) -> str:
    """The figure for inside an HTML page: see-through, in the page's text colour, without a word of XML's preamble."""
    import matplotlib

    buffer = io.StringIO()
    with matplotlib.rc_context(STYLE):
        figure.savefig(buffer, format="svg", metadata={"Date": None}, transparent=True)
    svg = buffer.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'\sxmlns(:\w+)?="[^"]*"', "", svg)
    width = float(re.search(r'viewBox="0 0 ([\d.]+) ', svg)[1])
    svg = re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", svg, count=1)
    svg = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", svg, count=1)
    head = f'<svg role="img" aria-label="{label}" style="max-width: {MAX_SCALE * width:.0f}px" '
    return svg.replace("<svg ", head, 1).replace(INK, "currentColor").replace(PAPER, "var(--paper)")
