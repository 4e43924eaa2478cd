"""Which images make up which step: a pure function of (seed, epoch), the same on every rank."""

from __future__ import annotations

import numpy as np

from noisewise.errors import RunError
from noisewise.train.seeds import numpy_generator


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


def rows_of(rank: int, world: int, total: int) -> slice:
    """The rows of a global batch of `total` that are this rank's: contiguous, sizes differing by one at most."""
    small, larger = divmod(total, world)
    start = rank * small + min(rank, larger)
    return slice(start, start + small + (rank < larger))
