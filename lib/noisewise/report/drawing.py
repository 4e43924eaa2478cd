"""What the figures share: colours, markers, rows of panels, lines with error bars, and the forms of a file."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Sequence
from math import nan
from typing import TYPE_CHECKING

from noisewise.report.summary import Cell, Stat, Task

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
MARKERS = {"cross_entropy": "o", "coteaching": "s", "dividemix": "^", "elr": "D", "gce": "v", "jocor": "P"}
SPARE_MARKERS = "phd<>X*"
INK = "#24292f"  # text and axes: the page turns this very colour into its own text colour
PAPER = "#fffffe"  # inside hollow markers: the page turns it into its own background
LABEL_GAP = 0.075  # of a panel's height, between labels of lines
WIDE = 6.0  # inches, from which on the legend fits into one line
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

Ends = dict[str, tuple[float, float]]  # where each init's line ends: x and score
Draw = Callable[["Axes", Sequence[Cell], Sequence[Task], dict[str, str], str], Ends]


def rows_of_panels(
    cells: Sequence[Cell], groups: Sequence[Sequence[Task]], title: Callable[[Sequence[Task]], str], draw: Draw
) -> Figure:
    """A row of panels a group of tasks, a column a method, a colour an init; not tied to any display.

    draw: draws a panel's cells, given its tasks, the inits' colours and the method's marker; returns where lines end
        that are to be named. Panels without a result say so.
    """
    import matplotlib
    from matplotlib.figure import Figure

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
                axes.set_title(plain(f"{title(group)}, {method}"))
                ends.append(draw(axes, shown, group, colours, markers[method]))
                if not any(cell.stat("f1_best") for cell in shown):
                    axes.text(0.5, 0.5, "no result yet", transform=axes.transAxes, ha="center", va="center")
            common_scale(line)
            for axes, heights in zip(line, ends, strict=True):
                name_lines(axes, heights, colours)
        legend(figure, seeds=any(len(group) == 1 for group in groups))
    return figure


def lines(
    axes: Axes, cells: Sequence[Cell], colours: dict[str, str], marker: str, x: Callable[[Task, float], float]
) -> Ends:
    """Score against something, a line an init: best solid, last dashed. Returns where each init's best line ends.

    x: where a task stands, moved by a few steps (0 for the middle init), so that bars do not hide each other.
    """
    inits = list(dict.fromkeys(cell.init for cell in cells))
    ends = {}
    for index, init in enumerate(inits):
        steps = index - (len(inits) - 1) / 2
        mine = sorted((cell for cell in cells if cell.init == init), key=lambda cell: x(cell.task, 0))
        for score, line in (("f1_best", "-"), ("f1_last", "--")):
            known = [(x(cell.task, steps), found) for cell in mine if (found := cell.stat(score))]
            if known:
                bars(axes, [at for at, _ in known], [found for _, found in known], colours[init], marker, line)
            if known and score == "f1_best":
                ends[init] = (known[-1][0], known[-1][1].mean)
    return ends


def colours_of(inits: Sequence[str]) -> dict[str, str]:
    """A colour an init: always the same for known ones, the unused ones in turn for others."""
    spare = [colour for name, colour in COLOURS.items() if name not in inits] or list(COLOURS.values())
    others = [name for name in inits if name not in COLOURS]
    return {name: COLOURS.get(name) or spare[others.index(name) % len(spare)] for name in inits}


def markers_of(methods: Sequence[str]) -> dict[str, str]:
    others = [name for name in methods if name not in MARKERS]
    return {name: MARKERS.get(name) or SPARE_MARKERS[others.index(name) % len(SPARE_MARKERS)] for name in methods}


def bars(axes: Axes, x: list[float], stats: list[Stat], colour: str, marker: str, line: str) -> None:
    """Means with their standard deviations; dashed lines have hollow markers."""
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


def common_scale(line: Sequence[Axes]) -> None:
    """One y axis for a row of panels, within [0, 1]."""
    line[0].set_ylabel("macro-F1 on the\ntest set")
    low, high = line[0].get_ylim() if any(axes.has_data() for axes in line) else (0.0, 1.0)
    line[0].set_ylim(max(0.0, low), min(1.0, high))


def name_lines(axes: Axes, ends: Ends, colours: dict[str, str]) -> None:
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


def legend(figure: Figure, seeds: bool) -> None:
    """What filled, hollow and bars mean, above all panels; and small dots, where single seeds are shown."""
    from matplotlib.lines import Line2D

    keys = [
        Line2D([], [], color=INK, marker="o", markersize=6, label="best epoch (by validation)"),
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
    columns = len(keys) if figure.get_figwidth() > WIDE or len(keys) < 4 else 2
    figure.legend(handles=keys, loc="outside upper center", ncols=columns, frameon=False, fontsize=8)


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
