"""The two ways in which things go wrong: somebody asked for the impossible, or a run failed.

Both carry a message that says what was wrong, where, and what to type next.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class UserError(Exception):
    """What was asked for cannot be done as it was asked; nothing was started (exit status 2)."""


class RunError(Exception):
    """A run failed for a reason that we recognise.

    Args:
        kind: one of `noisewise.runs.failure.KINDS`.
        message: what was wrong, and where.
        advice: what to do about it.
    """

    def __init__(self, kind: str, message: str, advice: str) -> None:
        super().__init__(message)
        self.kind = kind
        self.message = message
        self.advice = advice


def unknown(what: str, name: object, legal: Iterable[str], where: str = "") -> UserError:
    """An error for a name that is not legal: it lists the legal ones and the nearest match."""
    legal = sorted(legal)
    near = difflib.get_close_matches(str(name), legal, n=1)
    hint = f" Did you mean '{near[0]}'?" if near else ""
    place = f" in {where}" if where else ""
    return UserError(f"unknown {what} '{name}'{place}.{hint} Legal: {', '.join(legal) or '(none)'}.")
