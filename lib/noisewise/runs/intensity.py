"""How values of more than 8 bits become 8, as dataset files say it; planning reads it too, so no numpy here."""

from __future__ import annotations

import math
from typing import Literal

from noisewise.errors import UserError

RULES = ("declared", "stretch")


def parse_intensity(text: str, where: str = "the dataset") -> Literal["declared", "stretch"] | tuple[float, float]:
    """The rule that a dataset's `intensity` names, or the window (LOW, HIGH) of "LOW:HIGH".

    Raises:
        UserError: it is neither; `where` says whose it is.
    """
    if text in RULES:
        return text
    low, colon, high = text.partition(":")
    try:
        window = float(low), float(high)
    except ValueError:
        window = math.nan, math.nan
    if not (colon and math.isfinite(window[0]) and math.isfinite(window[1]) and window[0] < window[1]):
        raise UserError(
            f"{where}: intensity is '{text}'; it must be declared, stretch, or \"LOW:HIGH\" in quotes: "
            f'two numbers, the lower one first, such as "0:4095".'
        )
    return window
