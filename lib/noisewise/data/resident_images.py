"""Images that stay on the device: read once, then picked there."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

if TYPE_CHECKING:
    from noisewise.data.loader import ImageSource

CHUNK = 1024  # images read at a time


class ResidentImages:
    """The samples `indices` of a pack of `count` images, held on the device; an `ImageSource`."""

    def __init__(self, source: ImageSource, indices: np.ndarray, count: int, device: torch.device) -> None:
        self.device = device
        self._row = np.full(count, -1, dtype=np.int64)
        self._row[indices] = np.arange(len(indices))
        self._images: Tensor | None = None
        filled = 0
        for images in source.batches([indices[start : start + CHUNK] for start in range(0, len(indices), CHUNK)]):
            if self._images is None:
                self._images = torch.empty((len(indices), *images.shape[1:]), dtype=torch.uint8, device=device)
            self._images[filled : filled + len(images)] = images
            filled += len(images)

    def batches(self, steps: Sequence[np.ndarray]) -> Iterator[Tensor]:
        for step in steps:
            rows = self._row[step]
            if (rows < 0).any():
                raise IndexError(f"sample {step[rows < 0][0]} is not among the resident ones")
            yield self._images[torch.from_numpy(rows).to(self.device, non_blocking=True)]

    def close(self) -> None:
        self._images = None
