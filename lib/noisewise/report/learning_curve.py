"""Macro-F1 against the number of training images: a row of panels a dataset and noise, a column a method."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import log
from typing import TYPE_CHECKING

from noisewise.report import words
from noisewise.report.drawing import Ends, lines, rows_of_panels
from noisewise.report.summary import Cell, Task, size_groups, tasks_of
from noisewise.runs.fraction import percent

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

STEP = 0.012  # of the axis, between inits
LABEL_WIDTH = 0.2  # of the axis


def f1_vs_size(cells: Sequence[Cell]) -> Figure | None:
    """The figure, not tied to any display; None where no task comes with more than one fraction of its images."""
    tasks = tasks_of(cells)
    groups = [group for group in size_groups(tasks) if len(group) > 1]
    if not groups:
        return None
    whole = [replace(task, fraction=1.0) for task in tasks]
    rows = [row for cell in cells for row in cell.rows if row.train_images]
    counts = {(row.dataset, row.fraction): f"\n{row.train_images:,}" for row in rows}

    def title(group: Sequence[Task]) -> str:
        return f"{words.place(group[0], whole)}, {words.noise(group[0])}"

    def draw(axes: Axes, shown: Sequence[Cell], group: Sequence[Task], colours: dict[str, str], marker: str) -> Ends:
        ends = _lines(axes, shown, group, colours, marker)
        fractions = [task.fraction for task in group]
        told = spaced(fractions)
        labels = [percent(one) + counts.get((group[0].dataset, one), "") if one in told else "" for one in fractions]
        axes.set_xticks(fractions, labels)
        axes.set_xticks([], minor=True)
        return ends

    return rows_of_panels(cells, groups, title, draw)


def _lines(axes: Axes, cells: Sequence[Cell], group: Sequence[Task], colours: dict[str, str], marker: str) -> Ends:
    """On a logarithmic axis: as many times more images are a step as wide, wherever it starts."""
    least, most = group[0].fraction, group[-1].fraction
    span = most / least
    ends = lines(axes, cells, colours, marker, lambda task, steps: task.fraction * span ** (STEP * steps))
    axes.set_xscale("log")
    axes.set_xlim(least / span**0.06, most * span**0.06)
    axes.set_xlabel("training images")
    return ends


def spaced(fractions: Sequence[float]) -> list[float]:
    """Those of rising fractions whose labels do not touch on the axis, the largest always among them."""
    span = log(fractions[-1] / fractions[0])
    told = [fractions[-1]]
    for fraction in reversed(fractions[:-1]):
        if log(told[-1] / fraction) > LABEL_WIDTH * span:
            told.append(fraction)
    return told
