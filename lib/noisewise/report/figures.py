"""Macro-F1 against the noise rate: a row of panels a dataset and kind of noise, a column a method, a colour an init."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from noisewise.report import words
from noisewise.report.drawing import Ends, bars, lines, plain, rows_of_panels
from noisewise.report.summary import Cell, Task, noise_groups, tasks_of
from noisewise.runs.config import RATELESS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LAST_SHIFT = 0.13
SEED_SHIFT = 0.08  # single seeds beside their mean, away from the other score
STEP = 0.012  # of the axis, between inits


def f1_vs_rate(cells: Sequence[Cell]) -> Figure:
    """The figure, not tied to any display. Tasks without a result keep an empty panel that says so."""
    tasks = tasks_of(cells)
    inits = list(dict.fromkeys(cell.init for cell in cells))

    def draw(axes: Axes, shown: Sequence[Cell], group: Sequence[Task], colours: dict[str, str], marker: str) -> Ends:
        if len(group) > 1:
            return _against_rate(axes, shown, group, colours, marker)
        _dots(axes, shown, group[0], inits, colours, marker)
        return {}

    return rows_of_panels(cells, noise_groups(tasks), lambda group: words.short_place(group[-1], tasks), draw)


def _against_rate(
    axes: Axes, cells: Sequence[Cell], group: Sequence[Task], colours: dict[str, str], marker: str
) -> Ends:
    span = group[-1].rate - group[0].rate or 1.0
    ends = lines(axes, cells, colours, marker, lambda task, steps: task.rate + STEP * span * steps)
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
                bars(axes, [x + side], [found], colours[cell.init], marker, "-" if score == "f1_best" else "--")
    axes.set_xticks(range(len(inits)), [plain(init).replace("+", "\n+ ") for init in inits])
    axes.set_xlim(-0.6, len(inits) - 0.4)
    axes.set_xlabel(plain(words.noise(task) + ("" if task.noise in RATELESS else " noise")))
