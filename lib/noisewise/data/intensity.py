"""The rules by which the values of an image become 8 bits: a dataset's `intensity`.

- `declared`: what the file says. DICOM: after its modality LUT or rescale, its first VOI LUT, else its first window
  (LINEAR, LINEAR_EXACT or SIGMOID; a width that the standard forbids counts as none). A VOI LUT's white is the greatest
  value of its declared bits; of 16, which some scanners declare whatever the range, only the bits that its greatest
  entry needs count (8 at least). With neither: from the least to the greatest value, as viewers do; but unsigned values
  of at most 8 bits that nothing rescales, and colours, by the full range of the bits stored. 16-bit PNG and TIFF: the
  full range, 65,535 to 255, for every file alike. How many of the 16 bits an image uses is not guessed; one with fewer,
  as X-ray detectors give, comes out dark. 32-bit integers have to lie within 16 bits. 8-bit images stay as they are.
- `stretch`: each image from its own least value (black) to its own greatest (white); a constant one becomes black.
- `LOW:HIGH`, such as `-160:240`: the same window for every file. LOW and all below it becomes black, HIGH and all above
  it white, in the values that the file means: DICOM after its rescale (Hounsfield units in a CT), others as stored.

`stretch` and `LOW:HIGH` treat 8-bit images too, and colours with one scale for their three channels; palettes become
8-bit colours first, and what is transparent black. In DICOM, what is marked as padding decides nothing and is black;
MONOCHROME1 is inverted at the end, whatever the rule.
"""

from __future__ import annotations

import math

import numpy as np

from noisewise.runs.intensity import Window


def linear(values: np.ndarray, window: Window) -> np.ndarray:
    """Values of any shape through a window, uint8; all black if the window has no width."""
    low, high = map(float, window)
    if high <= low:
        return values.astype(bool).astype(np.uint8) * 0
    return ((values - low) * 255 / (high - low)).clip(0, 255).round().astype(np.uint8)


def extremes(values: np.ndarray) -> Window:
    """From the least to the greatest value; (0, 0) if there are none."""
    return Window(float(values.min()), float(values.max())) if values.size else Window(0, 0)


def declared_window(values: np.ndarray, centre: float, width: float, function: str) -> np.ndarray | None:
    """Values through a window as a DICOM file declares it, uint8; None if the standard forbids it.

    function: "LINEAR" (PS3.3 C.11.2.1.2.1), "LINEAR_EXACT" (C.11.2.1.3.2) or "SIGMOID" (C.11.2.1.3.1).
    """
    if not (math.isfinite(centre) and math.isfinite(width)) or width <= 0 or (function == "LINEAR" and width < 1):
        return None
    if function == "SIGMOID":
        steepness = (-4 * (values - centre) / width).clip(-100, 100)  # beyond it the pixel is 0 or 255
        return (255 / (1 + np.exp(steepness))).round().astype(np.uint8)
    if function == "LINEAR":
        centre, width = centre - 0.5, width - 1
    elif function != "LINEAR_EXACT":
        return None
    if not width:
        return (values > centre).astype(np.uint8) * 255
    return linear(values, Window(centre - width / 2, centre + width / 2))
