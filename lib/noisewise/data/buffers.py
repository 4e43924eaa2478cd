"""Memory for batches, used again when nobody holds the batch any more.

Fresh memory for every batch halves the speed of a gather: the kernel clears it page by page.
"""

from __future__ import annotations

import weakref

import numpy as np
import torch
from torch import Tensor

KEPT = 4  # idle buffers


class Buffers:
    """Hands out tensors uint8 [n, *shape] that are safe to keep: their memory comes back when the last view is gone."""

    def __init__(self, shape: tuple[int, ...], pinned: bool) -> None:
        self.shape, self.pinned = shape, pinned
        self._idle: list[np.ndarray] = []
        self._lent: dict[int, weakref.ref] = {}

    def take(self, count: int) -> Tensor:
        """A tensor of `count` images whose contents are undefined."""
        if self.pinned:  # torch keeps pinned memory itself, and waits for copies from it that are under way
            return torch.empty((count, *self.shape), dtype=torch.uint8, pin_memory=True)
        while self._idle:
            buffer = self._idle.pop()
            if len(buffer) >= count:
                break
        else:
            buffer = np.empty((count, *self.shape), dtype=np.uint8)
        lease = buffer[:count]  # the tensor holds this object, and every view of the tensor holds its memory
        key = id(lease)

        def give_back(_: weakref.ref) -> None:
            del self._lent[key]
            if len(self._idle) < KEPT:
                self._idle.append(buffer)

        self._lent[key] = weakref.ref(lease, give_back)
        return torch.from_numpy(lease)
