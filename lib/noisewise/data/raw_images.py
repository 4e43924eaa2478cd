"""Raw packs: pixels copied straight from the beton's memory map, a few batches ahead of their use."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice

import numpy as np
import torch
from torch import Tensor

from noisewise.data.buffers import Buffers
from noisewise.data.pack import Pack

THREADS = 2  # copying releases the interpreter's lock
AHEAD = 2  # batches


class RawImages:
    """The images of a raw pack; an `ImageSource`. Needs no FFCV: the pack's index knows where each sample lies."""

    def __init__(self, pack: Pack, device: torch.device) -> None:
        self.device = device
        self._memory = np.memmap(pack.beton, np.uint8, "r").view(np.ndarray)
        self._offsets = pack.offsets
        self._buffers = Buffers((pack.size, pack.size, 3), pinned=device.type == "cuda")
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="gather")

    def batches(self, steps: Sequence[np.ndarray]) -> Iterator[Tensor]:
        todo = iter(steps)
        ahead = deque(self._pool.submit(self._gather, step) for step in islice(todo, AHEAD))
        try:
            while ahead:
                ahead.extend(self._pool.submit(self._gather, step) for step in islice(todo, 1))
                yield ahead.popleft().result().to(self.device, non_blocking=True)  # no reference is kept here
        finally:
            for future in ahead:
                future.cancel()

    def _gather(self, step: np.ndarray) -> Tensor:
        """The samples of a step, uint8 [n, S, S, 3] in the host's memory."""
        images = self._buffers.take(len(step))
        gather(self._memory, self._offsets[step], images.numpy())
        return images

    def close(self) -> None:
        self._pool.shutdown(cancel_futures=True)


def gather(memory: np.ndarray, offsets: np.ndarray, out: np.ndarray) -> None:
    """Copy equally long stretches of `memory`, uint8, that begin at `offsets` [n] into the rows of `out` [n, ...]."""
    length = math.prod(out.shape[1:])
    rows = out.reshape(len(out), length)
    for row, start in zip(rows, offsets.tolist(), strict=True):
        row[:] = memory[start : start + length]
