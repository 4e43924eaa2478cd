"""Rows into means over seeds, and differences paired by seed."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from noisewise.report.collect import Row

SCORES = ("f1_best", "f1_last", "accuracy_best", "accuracy_last", "balanced_accuracy_best", "auroc_best")
LATER_SCORES = (  # behind all other columns of summary.csv
    *("balanced_accuracy_last", "auroc_last", "ece_best", "ece_last", "memorised_best", "memorised_last"),
    *("wrong_found_precision_best", "wrong_found_recall_best", "wrong_found_precision_last", "wrong_found_recall_last"),
)

# Student's t, two-sided 95%, for 2, 3, ... degrees of freedom; beyond the table its last value, which is a
# little too strict. A table, because the report is also made where there is no scipy.
T95 = (4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228)
FEW_SEEDS = 2  # the spread of so few says next to nothing about the spread of all


@dataclass(frozen=True)
class Stat:
    """Mean and sample standard deviation (n - 1; None for one value) of n values."""

    mean: float
    sd: float | None
    n: int


@dataclass(frozen=True)
class Task:
    """What recipes are compared on: the same images, as many of them to train on, under the same noise."""

    dataset: str
    backbone: str
    resolution: int
    noise: str
    rate: float
    fraction: float = 1.0


@dataclass(frozen=True)
class Cell:
    """One initialisation with one method on one task: its runs, one a seed, done or not."""

    task: Task
    init: str
    method: str
    rows: tuple[Row, ...]

    @property
    def name(self) -> str:
        return f"{self.init} + {self.method}"

    def by_seed(self, score: str) -> dict[int, float]:
        """The score of each seed that is done; should runs share a seed, their mean."""
        values = defaultdict(list)
        for row in self.rows:
            if row.done and getattr(row, score) is not None:
                values[row.seed].append(getattr(row, score))
        return {seed: statistics.fmean(found) for seed, found in sorted(values.items())}

    def stat(self, score: str) -> Stat | None:
        return stat(self.by_seed(score).values())

    @property
    def clash(self) -> bool:
        """Whether two runs share a seed: they differ in a setting that the report does not tell apart."""
        return len({row.seed for row in self.rows}) < len(self.rows)


def stat(values: Iterable[float]) -> Stat | None:
    """Mean and spread; None of nothing."""
    values = list(values)
    if not values:
        return None
    return Stat(statistics.fmean(values), statistics.stdev(values) if len(values) > 1 else None, len(values))


def cells_of(rows: Sequence[Row]) -> list[Cell]:
    """Rows grouped over seeds, in the order in which the grid names them."""
    groups: dict[tuple[Task, str, str], list[Row]] = defaultdict(list)
    for row in rows:
        task = Task(row.dataset, row.backbone, row.resolution, row.noise, row.rate, row.fraction)
        groups[task, row.init, row.method].append(row)
    return [Cell(task, init, method, tuple(found)) for (task, init, method), found in groups.items()]


def tasks_of(cells: Sequence[Cell]) -> list[Task]:
    return list(dict.fromkeys(cell.task for cell in cells))


def gain(cell: Cell, over: Cell, score: str = "f1_best") -> Stat | None:
    """How much higher `cell` scores than `over`, paired by seed; None without a seed that both have done."""
    mine, theirs = cell.by_seed(score), over.by_seed(score)
    return stat(mine[seed] - theirs[seed] for seed in mine if seed in theirs)


def main_effect(cells: Sequence[Cell], factor: str, level: str, reference: str, score: str = "f1_best") -> Stat | None:
    """The mean gain of one init (or method) over another, everything else equal, on one task.

    Within a seed, gains are averaged over the other factor; the statistics are over seeds, for runs of one seed
    share their label noise and their pretraining and are no independent repeats.

    Args:
        cells: of one task.
        factor: "init" or "method"; `level` and `reference` are two of its values.
    """
    other = "method" if factor == "init" else "init"
    at = {(getattr(cell, factor), getattr(cell, other)): cell.by_seed(score) for cell in cells}
    gains = defaultdict(list)
    for (name, rest), scores in at.items():
        if name == level:
            base = at.get((reference, rest), {})
            for seed in scores.keys() & base.keys():
                gains[seed].append(scores[seed] - base[seed])
    return stat(statistics.fmean(found) for found in gains.values())


def verdict(difference: Stat) -> str:
    """How far a difference paired by seed can be trusted, in words.

    "within seed noise": the mean is not larger than the standard deviation over seeds. "clear of seed noise":
    Student's 95% interval of the mean leaves out 0, and there are more than two seeds.
    """
    if difference.sd is None:
        return "one seed only, so it may be chance"
    if abs(difference.mean) <= difference.sd:
        return "within seed noise"
    if difference.n > FEW_SEEDS:
        t = T95[min(difference.n - 1, len(T95) + 1) - 2]
        if abs(difference.mean) > t * difference.sd / difference.n**0.5:
            return "clear of seed noise"
    return f"beyond the seeds' spread, but only {difference.n} seeds"


def noise_groups(tasks: Sequence[Task]) -> list[list[Task]]:
    """Tasks that differ in the noise rate only, by rate; runs without noise are rate 0 of every kind that has rates."""
    kinds: dict[tuple, list[Task]] = defaultdict(list)
    clean: dict[tuple, Task] = {}
    for task in tasks:
        where = (task.dataset, task.backbone, task.resolution, task.fraction)
        if task.noise == "none":
            clean[where] = task
        else:
            kinds[(*where, task.noise)].append(task)
    for where in clean:
        if not any(kind[:-1] == where and kind[-1] != "given" for kind in kinds):
            kinds[(*where, "none")] = []
    groups = []
    for kind, found in kinds.items():
        first = [clean[kind[:-1]]] if kind[:-1] in clean and kind[-1] != "given" else []
        groups.append(first + sorted(found, key=lambda task: task.rate))
    return sorted(groups, key=lambda group: tasks.index(group[-1]))


def size_groups(tasks: Sequence[Task]) -> list[list[Task]]:
    """Tasks that differ in the fraction of the training images only, by fraction."""
    groups: dict[Task, list[Task]] = defaultdict(list)
    for task in tasks:
        groups[replace(task, fraction=1.0)].append(task)
    return [sorted(found, key=lambda task: task.fraction) for found in groups.values()]
