"""How macro-F1 falls with label noise: its slope over the realised rate, and the share kept at the highest rate.

    slope   least squares of F1 over the realised rate, through all rates of a kind of noise and the clean control:
            the change of F1 for all labels made wrong, -0.5 where every 0.1 of the rate costs 0.05
    kept    F1 at the highest rate over F1 of the clean control

Each is taken seed by seed; statistics are over seeds.
"""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from noisewise.report.summary import Cell, Stat, Task, noise_groups, stat, tasks_of
from noisewise.runs.config import RATELESS

SCORES = ("f1_best", "f1_last")
HEADER = ["dataset", "backbone", "resolution", "fraction", "init", "method", "noise", "rates", "highest_rate"]
HEADER += [f"{score}_{part}" for score in SCORES for part in ("slope_mean", "slope_sd", "kept_mean", "kept_sd", "n")]


@dataclass(frozen=True)
class Robustness:
    """One recipe under one kind of noise.

    task: at the highest rate with a result. rates: how many have one, the clean control among them.
    slopes, kept: score -> seed -> value; without the seeds that lack what it takes.
    """

    task: Task
    init: str
    method: str
    rates: int
    slopes: dict[str, dict[int, float]]
    kept: dict[str, dict[int, float]]

    @property
    def recipe(self) -> tuple[str, str]:
        return self.init, self.method


def robustness(cells: Sequence[Cell]) -> list[Robustness]:
    """Of every recipe and kind of noise that has results at two rates or more, nought among them."""
    found = []
    for group in noise_groups(tasks_of(cells)):
        if group[-1].noise in RATELESS:
            continue
        recipes = dict.fromkeys((cell.init, cell.method) for cell in cells if cell.task in group)
        for recipe in recipes:
            mine = [cell for cell in cells if cell.task in group and (cell.init, cell.method) == recipe]
            known = sorted((cell for cell in mine if cell.stat(SCORES[0])), key=lambda cell: cell.task.rate)
            if len(known) > 1:
                slopes = {score: _slopes(known, score) for score in SCORES}
                kept = {score: _kept(known, score) for score in SCORES}
                found.append(Robustness(known[-1].task, *recipe, len(known), slopes, kept))
    return found


def _slopes(known: Sequence[Cell], score: str) -> dict[int, float]:
    """Seed -> slope, of the seeds that are done at two rates or more."""
    points = defaultdict(list)
    for cell in known:
        rates = _realised(cell)
        for seed, value in cell.by_seed(score).items():
            points[seed].append((rates[seed], value))
    several = {seed: mine for seed, mine in points.items() if len({rate for rate, _ in mine}) > 1}
    return {seed: statistics.linear_regression(*zip(*mine, strict=True)).slope for seed, mine in several.items()}


def _realised(cell: Cell) -> dict[int, float]:
    """Seed -> share of labels that were wrong; the nominal rate where a result does not say."""
    rates = defaultdict(list)
    for row in cell.rows:
        if row.done:
            clean = row.noise == "none"
            rates[row.seed].append(0.0 if clean else row.rate if row.realised_rate is None else row.realised_rate)
    return {seed: statistics.fmean(values) for seed, values in rates.items()}


def _kept(known: Sequence[Cell], score: str) -> dict[int, float]:
    """Seed -> share, of the seeds that are done at the highest rate and without noise."""
    if known[0].task.noise != "none":
        return {}
    clean, noisy = known[0].by_seed(score), known[-1].by_seed(score)
    return {seed: noisy[seed] / clean[seed] for seed in noisy if clean.get(seed, 0) > 0}


def robustness_lines(found: Sequence[Robustness]) -> Iterator[list[Any]]:
    """Lines of robustness.csv, under `HEADER`; n: seeds with a slope."""
    for one in found:
        task = one.task
        line = [task.dataset, task.backbone, task.resolution, task.fraction, one.init, one.method, task.noise]
        line += [one.rates, task.rate]
        for score in SCORES:
            slope, kept = stat(one.slopes[score].values()), stat(one.kept[score].values())
            line += [*_two(slope), *_two(kept), slope.n if slope else 0]
        yield line


def _two(value: Stat | None) -> list[float | None]:
    return [value.mean, value.sd] if value else [None, None]
