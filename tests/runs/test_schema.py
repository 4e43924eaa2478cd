"""Values into dataclasses: defaults, conversions, and errors that say what is legal."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, dataclass, field
from typing import Optional

import pytest

from noisewise.errors import UserError
from noisewise.runs.schema import build


@dataclass(frozen=True)
class Inner:
    width: float = 1.5
    names: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Outer:
    needed: int
    inner: Inner = field(default_factory=Inner)
    maybe: Optional[str] = None  # noqa: UP045


def test_defaults_are_filled_in_and_types_converted():
    assert build(Outer, {"needed": "3", "inner": {"width": 2}}, "here") == Outer(3, Inner(2.0, []), None)
    assert type(build(Outer, {"needed": 3, "inner": {"width": 2}}, "here").inner.width) is float


def test_what_is_built_is_frozen():
    with pytest.raises(FrozenInstanceError):
        build(Outer, {"needed": 3}, "here").needed = 4


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({}, "here: 'needed' is missing"),
        ({"needed": 1, "mabye": "x"}, "'mabye' in here. Did you mean 'maybe'.*Legal: inner, maybe, needed"),
        ({"needed": 1, "inner": {"widht": 2}}, r"'widht' in here\.inner. Did you mean 'width'.*Legal: names, width"),
        ({"needed": "three"}, "here: 'needed'.*three"),
        ({"needed": 1, "inner": {"width": "wide"}}, "here: 'inner.width'.*wide"),
        ({"needed": 1, "inner": {"names": "one"}}, "here: 'inner.names'"),
        (["needed"], "here: expected keys and values"),
    ],
)
def test_errors_say_whose_which_and_what_is_legal(values, told):
    with pytest.raises(UserError, match=told):
        build(Outer, values, "here")


def test_building_leaves_the_schema_and_the_values_as_they_were():
    values = {"needed": 1, "inner": {"names": ["a"]}}
    built = build(Outer, values, "here")
    built.inner.names.append("b")
    assert values == {"needed": 1, "inner": {"names": ["a"]}}
    assert build(Outer, {"needed": 1}, "here").inner.names == []
