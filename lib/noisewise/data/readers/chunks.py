"""Images that lie one after the other in an archive, read a megabyte at a time: a whole array may exceed the memory."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import IO

import numpy as np

CHUNK = 2**20  # bytes


def images_in(file: IO[bytes], count: int, shape: tuple[int, ...], start: int = 0) -> Iterator[np.ndarray]:
    """Images `start` to `count`, uint8 of a shape, that may be written to; `file` stands at image 0.

    Raises:
        EOFError: the file ends before the last of them.
    """
    size = math.prod(shape)
    for skipped in range(0, start * size, CHUNK):  # zipfile's seek reads its way forward in pieces of 16 MiB
        file.read(min(CHUNK, start * size - skipped))
    step = max(1, CHUNK // size)
    for first in range(start, count, step):
        rows = min(step, count - first)
        held = file.read(rows * size)
        if len(held) < rows * size:
            raise EOFError(f"it ends in image {first + len(held) // size} of {count}")
        yield from np.frombuffer(bytearray(held), np.uint8).reshape(rows, *shape)
