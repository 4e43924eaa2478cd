"""The fraction of the training images that a run uses: which are legal, and how they are written."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from noisewise.errors import UserError


def check_fraction(value: Any, what: str) -> float:
    """The value as a fraction in (0, 1].

    Raises:
        UserError: it is none; `what` says whose it is.
    """
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value <= 1:
        raise UserError(f"{what} is {value!r}; it must be a number above 0 and at most 1, such as 0.1.")
    return float(value)


def percent(fraction: float) -> str:
    """A fraction as people write it, exactly, so that two of them never look alike: 0.1 is "10%", 0.125 "12.5%"."""
    return f"{(Decimal(repr(float(fraction))) * 100).normalize():f}%"


def images_name(dataset: str, fraction: float) -> str:
    """What a run trains on: "elpv", or "elpv 10%"."""
    return dataset if fraction == 1 else f"{dataset} {percent(fraction)}"
