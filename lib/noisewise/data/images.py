"""One image file into a square of RGB pixels.

- Greyscale, palette and CMYK become RGB; what is transparent becomes black.
- 16-bit greyscale is divided by 257: the full range, 65,535 to 255, for every file alike. How many of the 16 bits an
  image uses is not guessed; one with fewer, as X-ray detectors give, comes out dark unless it is scaled beforehand.
- The orientation that a camera noted (EXIF) is applied. Of several pages, the first is taken.
- A side that shrinks is averaged by area (cv2.INTER_AREA), so that nothing aliases; one that grows is bilinear.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from noisewise.errors import RunError

FITS = ("resize", "pad", "crop")
SIXTEEN_BIT = 65535


def open_square(path: Path, size: int, fit: str) -> np.ndarray:
    """The pixels of an image file, uint8 [size, size, 3], RGB.

    fit: "resize" stretches both sides to `size`, "pad" adds black bars, "crop" cuts the longer side's ends off.

    Raises:
        RunError: data; the file is missing, truncated or no image.
    """
    pixels = _FIT[fit](_decode(path))
    height, width = pixels.shape[:2]
    shrunk = cv2.resize(pixels, (min(width, size), min(height, size)), interpolation=cv2.INTER_AREA)
    return cv2.resize(shrunk, (size, size), interpolation=cv2.INTER_LINEAR)


def _decode(path: Path) -> np.ndarray:
    try:
        with Image.open(path) as image:
            image.load()
            return _to_rgb(ImageOps.exif_transpose(image))
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        reason = "not an image that can be read" if isinstance(error, UnidentifiedImageError) else str(error)
        raise RunError("data", f"{path}: {reason}", "Replace the file by a whole copy, or leave it out.") from None


def _to_rgb(image: Image.Image) -> np.ndarray:
    """uint8 [height, width, 3]."""
    if image.mode == "F":
        raise ValueError("its pixels are floating-point numbers; convert it to 8 or 16 bits")
    if image.mode.startswith("I"):
        return np.repeat(_to_8_bit(np.asarray(image))[..., None], 3, axis=2)
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "black"), image)
    return np.array(image.convert("RGB"))


def _to_8_bit(values: np.ndarray) -> np.ndarray:
    if values.min() < 0 or values.max() > SIXTEEN_BIT:
        raise ValueError(f"its values reach from {values.min()} to {values.max()}; convert it to 8 or 16 bits")
    return np.rint(values / (SIXTEEN_BIT / 255)).astype(np.uint8)


def _pad(pixels: np.ndarray) -> np.ndarray:
    height, width = pixels.shape[:2]
    side = max(height, width)
    top, left = (side - height) // 2, (side - width) // 2
    return cv2.copyMakeBorder(
        pixels, top, side - height - top, left, side - width - left, cv2.BORDER_CONSTANT, value=(0, 0, 0)
    )


def _crop(pixels: np.ndarray) -> np.ndarray:
    height, width = pixels.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    return np.ascontiguousarray(pixels[top : top + side, left : left + side])


_FIT = dict(zip(FITS, (lambda pixels: pixels, _pad, _crop), strict=True))
