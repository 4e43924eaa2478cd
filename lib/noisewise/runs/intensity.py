"""A dataset's rule for how more than 8 bits become 8, as text; what the rules do is in `noisewise.data.intensity`."""

from __future__ import annotations

import math
from typing import NamedTuple

from noisewise.errors import UserError

DECLARED, STRETCH = "declared", "stretch"


class Window(NamedTuple):
    """`low` and what is below it becomes 0, `high` and what is above it 255, and between them it is linear."""

    low: float
    high: float


Rule = str | Window


def parse_intensity(text: str, where: str = "the dataset") -> Rule:
    """`DECLARED`, `STRETCH`, or the window that "LOW:HIGH" stands for.

    Raises:
        UserError: none of them; `where` says whose it is.
    """
    if text in (DECLARED, STRETCH):
        return text
    try:
        window = Window(*map(float, str(text).split(":")))
    except (TypeError, ValueError):
        window = Window(math.nan, math.nan)
    if not (all(map(math.isfinite, window)) and window.low < window.high):
        # Unquoted, YAML reads -160:40 as minus 160 minutes and 40 seconds.
        raise UserError(
            f"{where}: intensity '{text}' is no rule. Legal: {DECLARED}, {STRETCH}, or LOW:HIGH with LOW below HIGH, "
            """in quotes where it is written, such as intensity: "-160:240"."""
        )
    return window
