"""Macro-F1 against the number of training images: a row of panels a dataset and noise, a column a method."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from noisewise.report import words
from noisewise.report.drawing import Ends, lines, plain, rows_of_panels
from noisewise.report.summary import Cell, Task, size_groups, tasks_of
from noisewise.runs.fraction import percent

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

STEP = 0.012  # of the axis, between inits


def f1_vs_size(cells: Sequence[Cell]) -> Figure | None:
    """The figure, not tied to any display; None where no task comes with more than one fraction of its images."""
    tasks = tasks_of(cells)
    groups = [group for group in size_groups(tasks) if len(group) > 1]
    if not groups:
        return None
    whole = [replace(task, fraction=1.0) for task in tasks]

    def title(group: Sequence[Task]) -> str:
        return f"{words.place(group[0], whole)}, {words.noise(group[0])}"

    return rows_of_panels(cells, groups, title, _against_size)


def _against_size(
    axes: Axes, cells: Sequence[Cell], group: Sequence[Task], colours: dict[str, str], marker: str
) -> Ends:
    """On a logarithmic axis: as much more data is a step as wide, wherever it starts."""
    least, most = group[0].fraction, group[-1].fraction
    span = most / least
    ends = lines(axes, cells, colours, marker, lambda task, steps: task.fraction * span ** (STEP * steps))
    axes.set_xscale("log")
    axes.set_xticks([task.fraction for task in group], [_tick(task, cells) for task in group])
    axes.set_xticks([], minor=True)
    axes.set_xlim(least / span**0.06, most * span**0.06)
    axes.set_xlabel("training images")
    return ends


def _tick(task: Task, cells: Sequence[Cell]) -> str:
    """The fraction, and how many images that was, where a run has said so."""
    counts = {row.train_images for cell in cells if cell.task == task for row in cell.rows if row.train_images}
    return plain(percent(task.fraction) + (f"\n{max(counts):,}" if counts else ""))
