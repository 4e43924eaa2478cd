"""How dataset files say what becomes of values of more than 8 bits."""

from __future__ import annotations

import subprocess
import sys

import pytest
from omegaconf import OmegaConf

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
        ("-.5:.5", (-0.5, 0.5)),
    ],
)
def test_rules_and_windows(text, rule):
    assert parse_intensity(text) == rule


@pytest.mark.parametrize(
    "text",
    [
        "",
        "streched",
        "Stretch",
        "5",
        "1:1",
        "240:-160",
        "0:",
        ":5",
        ":",
        "0:1:2",
        "0:inf",
        "nan:1",
        "low:high",
        "-9640",
    ],
)
def test_what_is_neither_is_refused_with_what_is_legal(text):
    with pytest.raises(UserError, match="^mine.yaml: intensity '.*declared, stretch, or LOW:HIGH .*in quotes"):
        parse_intensity(text, "mine.yaml")


def test_yaml_reads_an_unquoted_window_as_a_time_of_day_which_is_refused():
    assert parse_intensity(OmegaConf.create('intensity: "-160:40"').intensity) == (-160, 40)
    with pytest.raises(UserError, match="in quotes"):
        parse_intensity(str(OmegaConf.create("intensity: -160:40").intensity))


def test_planning_reads_rules_without_numpy():
    script = "import sys, noisewise.runs.intensity; print('numpy' in sys.modules, 'PIL' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], capture_output=True, text=True).stdout == "False False\n"
