"""Subsets of the training images, to learn what the size of a dataset does: stratified and nested.

Within each class of each split the images stand in a random order that depends on their names and the split's seed
alone; a fraction takes every class's first ones. So every class keeps its share, the 10% lie inside the 20%, and all
runs, machines and sizes of the pack mean the same images.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from noisewise.data.pack import Pack


def ranks(names: Sequence[str], labels: np.ndarray, split: np.ndarray, seed: int) -> np.ndarray:
    """The place of each image in the order of its class and split, from 0: int64 [n]."""
    dice = [hashlib.sha256(f"{seed} {name}".encode(errors="surrogateescape")).digest() for name in names]
    found = np.empty(len(names), dtype=np.int64)
    for part, label in sorted(set(zip(split.tolist(), labels.tolist(), strict=True))):
        rows = np.flatnonzero((split == part) & (labels == label))
        found[sorted(rows, key=lambda row: dice[row])] = np.arange(len(rows))
    return found


def training_rows(pack: Pack, fraction: float) -> np.ndarray:
    """Positions in `pack.indices("train")` of the images of a fraction, ascending, int64; at least one a class."""
    train = pack.indices("train")
    labels = pack.labels[train]
    counts = np.bincount(labels, minlength=len(pack.classes))
    wanted = np.array([math.ceil(round(fraction * count, 9)) for count in counts])
    return np.flatnonzero(pack.ranks[train] < wanted[labels])
