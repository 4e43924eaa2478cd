"""A rectangle of pixels into a square of a given side, by one of three fits.

Resizing is bilinear, and antialiased where a side shrinks: what torchvision and PIL do, by torch's faster kernel.
"""

from __future__ import annotations

import numpy as np
import torch
from torch.nn.functional import interpolate

FITS = ("resize", "pad", "crop")


def square(pixels: np.ndarray, size: int, fit: str) -> np.ndarray:
    """uint8 [height, width, 3] into uint8 [size, size, 3].

    fit: "resize" stretches both sides to `size`, "pad" adds black bars, "crop" cuts the longer side's ends off.
    """
    height, width = pixels.shape[:2]
    if fit == "crop":
        side = min(height, width)
        top, left = (height - side) // 2, (width - side) // 2
        pixels = pixels[top : top + side, left : left + side]
    if fit != "pad" or height == width:
        return _resize(pixels, size, size)
    scale = size / max(height, width)
    height, width = max(1, round(height * scale)), max(1, round(width * scale))
    top, left = (size - height) // 2, (size - width) // 2
    padded = np.zeros((size, size, 3), np.uint8)
    padded[top : top + height, left : left + width] = _resize(pixels, height, width)
    return padded


def _resize(pixels: np.ndarray, height: int, width: int) -> np.ndarray:
    """uint8 [height, width, 3]"""
    pixels = np.require(pixels, requirements=["C", "W"])  # torch takes no other
    if pixels.shape[:2] == (height, width):
        return pixels
    channels_first = torch.from_numpy(pixels).permute(2, 0, 1)[None]
    resized = interpolate(channels_first, (height, width), mode="bilinear", antialias=True)
    return resized[0].permute(1, 2, 0).contiguous().numpy()
