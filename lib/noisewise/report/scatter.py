"""What noise takes from a dataset against how hard the dataset is: a panel a kind of noise, a point a dataset."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from noisewise.report import words
from noisewise.report.difficulty import Ranked, named, rank
from noisewise.report.drawing import INK, STYLE, bars, legend, name_lines, plain
from noisewise.report.summary import Cell, Stat, tasks_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOUR = "#0072B2"
MARGIN = 0.12  # of the span of the points; twice that on the right, for names
PANEL = 3.4  # inches
ARROW = "\N{RIGHTWARDS ARROW}"


def robustness_vs_difficulty(cells: Sequence[Cell]) -> Figure | None:
    """The figure, not tied to any display; None where there are no two datasets to rank."""
    ranked, _ = rank(cells)
    if not ranked:
        return None
    import matplotlib
    from matplotlib.figure import Figure

    tasks = tasks_of(cells)
    kinds = list(dict.fromkeys(one.noise for one in ranked))
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(max(5.2, 1.2 + PANEL * len(kinds)), 3.6), layout="constrained")
        panels = figure.subplots(1, len(kinds), squeeze=False, sharey=True)[0]
        names = []
        for axes, noise in zip(panels, kinds, strict=True):
            mine = [one for one in ranked if one.noise == noise]
            axes.set_title(plain(f"{noise} noise"))
            axes.axhline(0, color=INK, linewidth=0.8)
            _points(axes, mine)
            axes.set_xlabel(f"class separability of {named(mine[0].features)}\nhard {ARROW} easy")
            names.append(
                {
                    words.short_place(one.place, tasks): (one.separability, one.slope["f1_best"].mean / 10)
                    for one in mine
                }
            )
        panels[0].set_ylabel("change of macro-F1 for each\n0.1 of labels made wrong")
        for axes, ends in zip(panels, names, strict=True):
            name_lines(axes, ends, dict.fromkeys(ends, INK))
        legend(figure, seeds=False)
    return figure


def _points(axes: Axes, ranked: Sequence[Ranked]) -> None:
    """Best filled, last hollow."""
    for score, line in (("f1_last", "--"), ("f1_best", "-")):
        for one in ranked:
            slope = one.slope[score]
            tenth = Stat(slope.mean / 10, None if slope.sd is None else slope.sd / 10, slope.n)
            bars(axes, [one.separability], [tenth], COLOUR, "o", line)
    places = [one.separability for one in ranked]
    span = (max(places) - min(places)) or max(places) or 1.0
    axes.set_xlim(min(places) - MARGIN * span, max(places) + 2 * MARGIN * span)
