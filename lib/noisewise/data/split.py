"""Training, validation and test: official where given, otherwise cut by patient, stratified by class, seeded.

The cut is iterative stratification (Sechidis et al., 2011) with patients as its units; an image of an unknown patient
is a unit of its own, and units that hold copies of one file are one. Where a unit fits into several splits, the seed
decides. The cut depends on the images' and patients' names and the seed, not on the order of files.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from noisewise.data.table import SPLITS, Table
from noisewise.errors import RunError
from noisewise.runs.config import Split

Unit = tuple[str, str]  # what it is, "patient" or "image", and its name


def assign(table: Table, split: Split, alike: Sequence[Sequence[int]] = ()) -> np.ndarray:
    """The split of each image: str [n] of "train", "val", "test".

    An official split is kept; "val" or "test" that it lacks is cut from its training images (`split`'s shares of them).
    alike: groups of rows with the same content; a cut does not part them.

    Raises:
        RunError: config, for shares that leave nothing to train on; data, if a class is too small to be in every
            split, or an official split has a patient on two sides.
    """
    shares = {"val": split.val, "test": split.test}
    if min(shares.values()) <= 0 or sum(shares.values()) >= 1:
        raise RunError(
            "config",
            f"split shares val={split.val:g} and test={split.test:g} leave nothing for one of the splits",
            "Set the dataset's split so that both are above 0 and their sum is below 1.",
        )
    official = np.array(table.split if table.split is not None else ["train"] * len(table.labels), dtype="<U5")
    lacking = [name for name in ("val", "test") if name not in official]
    _check_patients(table, official)
    if lacking:
        wanted = {"train": 1 - sum(shares[name] for name in lacking), **{name: shares[name] for name in lacking}}
        rows = np.flatnonzero(official == "train")
        official[rows] = _cut(table, rows, wanted, split.seed, alike)
    check_classes(table, official)
    return official


def _cut(
    table: Table, rows: np.ndarray, wanted: dict[str, float], seed: int, alike: Sequence[Sequence[int]]
) -> list[str]:
    """A split for each of `rows`, with about the wanted share of every class in each."""
    all_units = _joined(_units(table), alike, set(rows.tolist()))
    unit_of = [all_units[row] for row in rows]
    units = sorted(set(unit_of))
    number = {unit: position for position, unit in enumerate(units)}
    counts = np.zeros((len(units), len(table.classes)))
    np.add.at(counts, ([number[unit] for unit in unit_of], table.labels[rows]), 1)
    chosen = _stratify(counts, np.array(list(wanted.values())), np.random.default_rng(seed))
    parts = list(wanted)
    return [parts[chosen[number[unit]]] for unit in unit_of]


def _stratify(counts: np.ndarray, shares: np.ndarray, rng: np.random.Generator) -> list[int]:
    """A part for each unit, from the units' images a class [units, classes] and the parts' shares.

    Rarest class first, and of a class the largest unit first. Plain numbers: three parts are too few for numpy.
    """
    units = [{column: images for column, images in enumerate(row) if images} for row in counts.astype(int).tolist()]
    lacks = np.outer(shares, counts.sum(axis=0)).tolist()
    held = np.zeros_like(lacks).tolist()
    left = (counts > 0).sum(axis=0).tolist()
    chosen = [-1] * len(units)
    shuffled, dice = rng.permutation(len(units)).tolist(), iter(rng.random(len(units)).tolist())
    for column in np.argsort(left, kind="stable").tolist():
        todo = [unit for unit in shuffled if chosen[unit] < 0 and column in units[unit]]
        for unit in sorted(todo, key=lambda unit: -units[unit][column]):
            part = chosen[unit] = _choose(units[unit], lacks, held, left, next(dice))
            for each, images in units[unit].items():
                lacks[part][each] -= images
                held[part][each] += images
                left[each] -= 1
    return chosen


def _choose(
    unit: dict[int, int], lacks: list[list[float]], held: list[list[float]], left: list[int], die: float
) -> int:
    """The part for a unit: drawn from those that lack at least as many images of each class as it has, in proportion
    to what they lack; where there is none, the one that lacks most. The last units go to parts that have none.

    unit: class -> images. lacks, held: images a part and class. left: units a class, this one among them.
    """
    parts = list(range(len(lacks)))
    for column in unit:
        empty = [part for part in parts if not held[part][column]]
        if empty and left[column] <= sum(not images[column] for images in held):
            parts = empty
    lack = {part: min(lacks[part][column] for column in unit) for part in parts}
    fits = [part for part in parts if all(lacks[part][column] >= images for column, images in unit.items())]
    part = _draw([lack[part] for part in fits], die)
    return max(parts, key=lack.__getitem__) if part is None else fits[part]


def _draw(weights: list[float], die: float) -> int | None:
    """A position, in proportion to the weights; die: uniform in [0, 1). None where there are no weights above zero."""
    left = die * sum(weights)
    for position, weight in enumerate(weights):
        left -= weight
        if left < 0:
            return position
    return None


def _units(table: Table) -> list[Unit]:
    """What must not be torn apart, for each image: its patient, or the image itself where that is not known."""
    patients = table.patients or [None] * len(table.images)
    return [
        ("image", name) if patient is None else ("patient", patient)
        for name, patient in zip(table.names, patients, strict=True)
    ]


def _joined(units: list[Unit], alike: Sequence[Sequence[int]], rows: set[int]) -> list[Unit]:
    """The units with those of `rows` made one that hold the same content: each takes the name of the first of them."""
    first = {unit: unit for unit in units}

    def name(unit: Unit) -> Unit:
        while first[unit] != unit:
            unit = first[unit]
        return unit

    for group in alike:
        same = sorted({name(units[row]) for row in group if row in rows})
        first |= dict.fromkeys(same[1:], same[0] if same else None)
    return [name(unit) for unit in units]


def _check_patients(table: Table, official: np.ndarray) -> None:
    sides = defaultdict(set)
    for patient, side in zip(table.patients or [], official, strict=False):
        if patient is not None:
            sides[patient].add(str(side))
    if leaking := sorted(patient for patient, found in sides.items() if len(found) > 1):
        raise RunError(
            "data",
            f"the official split has {len(leaking)} patients on two sides, such as '{leaking[0]}' in "
            f"{' and '.join(sorted(sides[leaking[0]]))}",
            "Give all images of a patient one split; or leave the official split out (the dataset's source.split, or "
            "the folders train, val and test), so that one by patient is cut.",
        )


def check_classes(table: Table, split: np.ndarray) -> None:
    """
    Raises:
        RunError: data; a class has no image in one of the splits.
    """
    for label, name in enumerate(table.classes):
        mine = np.flatnonzero(table.labels == label)
        if not len(mine):
            raise RunError(
                "data",
                f"class '{name}' stands only among the given labels, never among the clean ones, or all its images "
                "are rejected",
                "A class needs images with clean labels to be scored: relabel, mend or remove them.",
            )
        absent = [part for part in SPLITS if part not in split[mine]]
        if not absent:
            continue
        held = f"{len(mine)} images"
        if table.patients is not None:
            units = _units(table)
            held += f" of {len({units[row] for row in mine})} patients"
        raise RunError(
            "data",
            f"class '{name}' has {held}: none is left for {' and '.join(absent)}",
            "Every class needs an image (a patient, where patients are known) in each of train, val and test: "
            "add some, or leave the class out.",
        )
