"""A dataset's groups of look-alike classes: listed in its file, or to be found from an encoder's confusions.

groups: [[a, b], [c, d, e]]     listed; a class in none stays clean
groups: auto                    found with ImageNet's weights
groups: {auto: simclr}          found with another initialisation, whose pretraining is a run of its own
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from noisewise.errors import UserError, unknown
from noisewise.grid.chains import parse_init

AUTO = "auto"
DEFAULT_INIT = "imagenet"


def auto_init(groups: Any) -> str | None:
    """The initialisation that finds the groups; None where they are listed."""
    if groups == AUTO:
        return DEFAULT_INIT
    return groups[AUTO] if isinstance(groups, Mapping) else None


def check_groups(groups: Any, where: str) -> None:
    """Refuse what are no groups.

    Raises:
        UserError: says what they may be; `where` is the dataset's file.
    """
    if isinstance(groups, Mapping):
        for key in groups:
            if key != AUTO:
                raise unknown("key", key, [AUTO], f"{where}: groups")
        if not isinstance(groups.get(AUTO), str):
            raise UserError(f"{where}: groups: auto takes an initialisation, as in groups: {{auto: simclr}}.")
        parse_init(groups[AUTO], f"{where}: groups")
        return
    if groups is None or groups == AUTO:
        return
    if not isinstance(groups, list) or not all(
        isinstance(group, list) and all(isinstance(name, str) for name in group) for group in groups
    ):
        raise UserError(
            f"{where}: groups is {groups!r}; it takes lists of look-alike classes, [[a, b], [c, d]], or auto."
        )
    times = Counter(name for group in groups for name in group)
    if twice := [name for name, count in times.items() if count > 1]:
        raise UserError(
            f"{where}: groups name class '{twice[0]}' {times[twice[0]]} times; a class is in one group only."
        )
