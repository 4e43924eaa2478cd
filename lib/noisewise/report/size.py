"""What the number of training images does to the gains, in words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from noisewise.report import words
from noisewise.report.answer import REFERENCE_INIT, REFERENCE_METHOD
from noisewise.report.summary import Cell, Task, main_effect, size_groups, tasks_of
from noisewise.runs.fraction import percent


def effects_by_size(cells: Sequence[Cell]) -> list[str]:
    """For each dataset and noise, how each gain over the reference goes with the fraction of the training images.

    Nothing where there are no two fractions with results to compare.
    """
    tasks = tasks_of(cells)
    whole = [replace(task, fraction=1.0) for task in tasks]
    sentences = []
    for group in size_groups(tasks):
        where = f"{words.place(group[0], whole)}, {words.noise(group[0])}"
        mine = [cell for cell in cells if cell.task in group]
        sentences += _gains(where, group, mine, "init", REFERENCE_INIT)
        sentences += _gains(where, group, mine, "method", REFERENCE_METHOD)
    return sentences


def _gains(where: str, group: Sequence[Task], cells: Sequence[Cell], factor: str, reference: str) -> list[str]:
    other = "method" if factor == "init" else "init"
    count = len({getattr(cell, other) for cell in cells})
    averaged = f" (mean over {words.plural(count, words.KINDS[other])})" if count > 1 else ""
    over = f"{reference} init" if factor == "init" else reference
    sentences = []
    for level in dict.fromkeys(getattr(cell, factor) for cell in cells):
        if level == reference:
            continue
        told = []
        for task in group:
            effect = main_effect([cell for cell in cells if cell.task == task], factor, level, reference)
            if effect:
                told.append(f"{words.difference(effect)} with {percent(task.fraction)}")
        if len(told) > 1:
            sentences.append(
                f"On {where}, gain of {level} over {over}{averaged} by share of the training images: {', '.join(told)}."
            )
    return sentences
