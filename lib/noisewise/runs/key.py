"""A run's key: a short hash of all that decides its result, the same on every machine and Python.

A run that stands in another one's config counts there by its own key.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import fields
from functools import cache
from typing import Any, get_type_hints

from noisewise.errors import UserError
from noisewise.runs.recipe import NO_PART_OF_THE_KEY

KEY_LENGTH = 12
PART_OF_THE_KEY_IF_SET = {"key": "if set"}  # a field that is None where it has no say


def hash_config(value: Any) -> str:
    """The key of a dataclass: a run, or a part of one.

    Raises:
        UserError: it holds a number that is not finite.
    """
    values = _parts(value)
    stage = {"stage": value.stage} if _is_run(value) else {}
    try:
        text = json.dumps(stage | values, sort_keys=True, separators=(",", ":"), allow_nan=False, default=_inside)
    except ValueError:
        raise UserError(f"a {type(value).__name__} config holds a number that is not finite: {values}") from None
    return hashlib.sha256(text.encode()).hexdigest()[:KEY_LENGTH]


def _inside(value: Any) -> dict[str, Any]:
    return {"key": value.key} if _is_run(value) else _parts(value)


def _is_run(value: Any) -> bool:
    return hasattr(value, "stage")


def _parts(value: Any) -> dict[str, Any]:
    """A dataclass's fields; an int given where a float is meant (rate=0) is that float."""
    types = _types(type(value))
    parts = {}
    for item in fields(value):
        part = getattr(value, item.name)
        if item.metadata == NO_PART_OF_THE_KEY or (item.metadata == PART_OF_THE_KEY_IF_SET and part is None):
            continue
        parts[item.name] = float(part) if types[item.name] is float else part
    return parts


@cache
def _types(schema: type) -> dict[str, Any]:
    return get_type_hints(schema)
