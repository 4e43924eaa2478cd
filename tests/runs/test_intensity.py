"""How dataset files say what becomes of values of more than 8 bits."""

from __future__ import annotations

import pytest

from noisewise.errors import UserError
from noisewise.runs.intensity import parse_intensity


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("declared", "declared"),
        ("stretch", "stretch"),
        ("0:4095", (0.0, 4095.0)),
        ("-160:240", (-160.0, 240.0)),
        ("-1e3:1.5e3", (-1000.0, 1500.0)),
    ],
)
def test_rules_and_windows(text, rule):
    assert parse_intensity(text) == rule


@pytest.mark.parametrize(
    "text", ["", "streched", "5", "1:1", "240:-160", "0:", ":5", "0:1:2", "0:inf", "nan:1", "low:high"]
)
def test_what_is_neither_is_refused_with_what_is_legal(text):
    with pytest.raises(UserError, match='^mine.yaml: intensity is .*declared, stretch, or "LOW:HIGH" in quotes'):
        parse_intensity(text, "mine.yaml")
