"""Which images make up which step: a pure function of (seed, epoch), the same on every rank."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from noisewise.errors import RunError
from noisewise.train.seeds import numpy_generator


class Step(NamedTuple):
    """One global batch: positions in the training set; and the turns it is for (`noisewise.train.method.Method`)."""

    rows: np.ndarray
    turns: Sequence[str]


def full_batches(count: int, batch: int, seed: int, epoch: int) -> list[np.ndarray]:
    """A random permutation of `count` positions in batches of exactly `batch`; the remainder sits this epoch out.

    Raises:
        RunError: config, if there are fewer images than one batch.
    """
    if count < batch:
        raise RunError(
            "config",
            f"the recipe's batch of {batch} is larger than the {count} training images",
            f"Set the recipe's batch to at most {count} (in a grid: recipe.pretrain.METHOD.batch=…; in a single run: "
            "batch=…), then submit again.",
        )
    order = numpy_generator("order", seed, epoch).permutation(count)
    return [order[start : start + batch] for start in range(0, count - batch + 1, batch)]


def even_batches(count: int, batch: int, seed: int, epoch: int) -> list[np.ndarray]:
    """A random permutation of `count` positions, none left out or repeated, in batches of at most `batch`.

    The batches' sizes differ by one at most, so that no batch is too small for batch normalisation.
    """
    order = numpy_generator("order", seed, epoch).permutation(count)
    return np.array_split(order, max(1, -(-count // batch)))


def paired_batches(
    labelled: np.ndarray, unlabelled: np.ndarray, batch: int, seed: int, epoch: int, turn: str
) -> list[np.ndarray]:
    """Every labelled position once, in batches of at most `batch`, half of which are unlabelled ones.

    Of those a batch has as many as of the others, or all where they are fewer: one random permutation of them after
    the other. The two kinds lie evenly among each other, so that each rank and each part of a batch has its share.
    """
    generator = numpy_generator("order", seed, epoch, turn)
    order = generator.permutation(labelled)
    batches = np.array_split(order, max(1, -(-len(order) // max(1, batch // 2))))
    sizes = [min(len(part), len(unlabelled)) for part in batches]
    rounds = -(-sum(sizes) // max(1, len(unlabelled)))
    others = np.concatenate([unlabelled[:0], *(generator.permutation(unlabelled) for _ in range(rounds))])
    others = np.split(others[: sum(sizes)], np.cumsum(sizes)[:-1])
    return [_evenly(*pair) for pair in zip(batches, others, strict=True)]


def _evenly(*kinds: np.ndarray) -> np.ndarray:
    """All positions, those of each kind at equal distances from one another."""
    places = np.concatenate([(np.arange(len(kind)) + 0.5) / max(1, len(kind)) for kind in kinds])
    return np.concatenate(kinds)[places.argsort(kind="stable")]


def rows_of(rank: int, world: int, total: int) -> slice:
    """The rows of a global batch of `total` that are this rank's: contiguous, sizes differing by one at most."""
    small, larger = divmod(total, world)
    start = rank * small + min(rank, larger)
    return slice(start, start + small + (rank < larger))
