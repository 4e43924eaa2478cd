"""Datasets ranked by how hard they are, and by how much noise takes from them: the study's second question.

Hard is what has a low class separability (`noisewise.evaluate.difficulty`): of ImageNet features, where every dataset
was trained from them, else of the images' thumbnails. What noise takes is the slope of F1 over the realised rate
(`noisewise.report.robustness`), mean over the recipes that every dataset has.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from noisewise.report import words
from noisewise.report.robustness import SCORES, Robustness, robustness
from noisewise.report.summary import Cell, Stat, Task, stat, tasks_of

IMAGENET = "imagenet"
THUMBNAILS = "thumbnails"
HEADER = ["dataset", "backbone", "resolution", "fraction", "features", "separability", "noise", "recipes"]
HEADER += [f"{score}_slope_{part}" for score in SCORES for part in ("mean", "sd")]


@dataclass(frozen=True)
class Ranked:
    """One dataset under one kind of noise.

    place: the dataset with its backbone, resolution and fraction, as a task without noise. slope: score -> mean over
    `recipes` recipes, with its spread over seeds.
    """

    place: Task
    features: str
    separability: float
    noise: str
    recipes: int
    slope: dict[str, Stat]


def rank(cells: Sequence[Cell]) -> tuple[list[Ranked], str]:
    """Datasets by kind of noise, the hardest first; where there is nothing to rank, what is missing for it."""
    features, separability = _separability(cells)
    if len({cell.task.dataset for cell in cells}) < 2:
        return [], "Difficulty against robustness takes two datasets or more; this grid has one."
    if not separability:
        return [], (
            "Difficulty against robustness: no class separability is known for every dataset. It comes with the "
            "results of this version's preparations and fine-tunings."
        )
    found = robustness(cells)
    ranked = [
        one
        for noise in dict.fromkeys(one.task.noise for one in found)
        for one in _rank_under(noise, found, features, separability)
    ]
    if not ranked:
        return [], (
            "Difficulty against robustness takes one recipe with results on two datasets or more, each at two rates "
            "of one kind of noise or more (none: true counts as one)."
        )
    return ranked, ""


def _separability(cells: Sequence[Cell]) -> tuple[str, dict[Task, float]]:
    """The features that every place has a value of, and the values; nothing if there are none."""
    places = {_place(cell.task) for cell in cells}
    for features, column in ((IMAGENET, "separability"), (THUMBNAILS, "thumbnail_separability")):
        values: dict[Task, list[float]] = {}
        for cell in cells:
            for row in cell.rows:
                value = getattr(row, column)
                if value is not None and (features == THUMBNAILS or row.init == IMAGENET):
                    values.setdefault(_place(cell.task), []).append(value)
        if values.keys() == places:
            return features, {place: statistics.fmean(found) for place, found in values.items()}
    return "", {}


def _place(task: Task) -> Task:
    return replace(task, noise="none", rate=0.0)


def _rank_under(
    noise: str, found: Sequence[Robustness], features: str, separability: dict[Task, float]
) -> Iterator[Ranked]:
    """Two datasets or more, compared by the recipes that all of them have a slope of."""
    at: dict[Task, dict[tuple[str, str], Robustness]] = {}
    for one in found:
        if one.task.noise == noise and one.slopes[SCORES[0]]:
            at.setdefault(_place(one.task), {})[one.recipe] = one
    common = set.intersection(*(set(recipes) for recipes in at.values())) if at else set()
    if not common or len({place.dataset for place in at}) < 2:
        return
    for place in sorted(at, key=lambda place: separability[place]):
        mine = [at[place][recipe] for recipe in common]
        slopes = {score: _over_seeds([one.slopes[score] for one in mine]) for score in SCORES}
        if all(slopes.values()):
            yield Ranked(place, features, separability[place], noise, len(common), slopes)


def _over_seeds(by_seed: Sequence[dict[int, float]]) -> Stat | None:
    """The mean over recipes, and its spread over the seeds that all of them have."""
    seeds = sorted(set.intersection(*(set(values) for values in by_seed)))
    return stat(statistics.fmean(values[seed] for values in by_seed) for seed in seeds)


def told(ranked: Sequence[Ranked], cells: Sequence[Cell]) -> list[str]:
    """A sentence on which datasets are hard, and one for each kind of noise on which suffer."""
    if not ranked:
        return []
    tasks = tasks_of(cells)
    hard = {one.place: one.separability for one in sorted(ranked, key=lambda one: one.separability)}
    listed = ", ".join(f"{words.full_place(place, tasks)} ({value:.2g})" for place, value in hard.items())
    sentences = [f"From hard to easy, by class separability of {named(ranked[0].features)}: {listed}."]
    for noise in dict.fromkeys(one.noise for one in ranked):
        mine = sorted((one for one in ranked if one.noise == noise), key=lambda one: -one.slope["f1_best"].mean)
        lost = ", ".join(f"{words.full_place(one.place, tasks)} ({tenth(one.slope['f1_best'])})" for one in mine)
        averaged = f", mean over {words.plural(mine[0].recipes, 'recipe')}" if mine[0].recipes > 1 else ""
        sentences.append(
            f"Change of macro-F1 for each 0.1 of labels that {noise} noise makes wrong{averaged}, from least to most: "
            f"{lost}."
        )
    return sentences


def named(features: str) -> str:
    return {IMAGENET: "ImageNet features", THUMBNAILS: "8 x 8 thumbnails"}[features]


def tenth(slope: Stat) -> str:
    """What a tenth of the labels costs: "-0.041 ± 0.008"."""
    return words.signed(slope.mean / 10, 3) + ("" if slope.sd is None else f" ± {slope.sd / 10:.3f}")


def difficulty_lines(ranked: Sequence[Ranked]) -> Iterator[list[Any]]:
    """Lines of difficulty.csv, under `HEADER`."""
    for one in ranked:
        place = one.place
        line = [place.dataset, place.backbone, place.resolution, place.fraction, one.features, one.separability]
        line += [one.noise, one.recipes]
        for score in SCORES:
            line += [one.slope[score].mean, one.slope[score].sd]
        yield line
