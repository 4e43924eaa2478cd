"""Images of a pack as uint8 batches on the training device, by sample number and in the order asked for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from noisewise.data.pack import Pack
from noisewise.data.raw_images import RawImages
from noisewise.data.resident_images import ResidentImages

RESIDENT_SHARE = 0.6  # of the free device memory may be filled with images


class ImageSource(Protocol):
    """Where a run's images come from."""

    def batches(self, steps: Sequence[np.ndarray]) -> Iterator[Tensor]:
        """For each step, its samples: uint8 [n, S, S, 3] on the device, exactly those and in that order.

        steps: sample numbers of the pack, int64; a step may have any length, and numbers may repeat.
        The tensors are the caller's to keep. Closing the iterator early stops what was read ahead.
        """

    def close(self) -> None:
        """Let go of files, threads and memory."""


def open_images(pack: Pack, device: torch.device, indices: np.ndarray | None = None) -> ImageSource:
    """A source of the pack's images; they stay on a CUDA device where they fit in 60% of its free memory.

    indices: the samples that will be asked for (None: all).

    Raises:
        RunError: data; an image in the pack is damaged. config; FFCV, which a JPEG pack needs, is not installed.
    """
    device = torch.device(device)
    source = RawImages(pack, device) if pack.format == "raw" else _jpeg_images(pack, device)
    indices = np.arange(len(pack)) if indices is None else np.asarray(indices)
    if device.type != "cuda":
        return source  # the kernel keeps what was read in memory
    free, _ = torch.cuda.mem_get_info(device)
    if len(indices) * pack.size**2 * 3 > RESIDENT_SHARE * free:
        return source
    try:
        return ResidentImages(source, indices, len(pack), device)
    finally:
        source.close()


def _jpeg_images(pack: Pack, device: torch.device) -> ImageSource:
    from noisewise.data.jpeg_images import JpegImages

    return JpegImages(pack, device)
