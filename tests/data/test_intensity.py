from __future__ import annotations

import numpy as np
import pytest

from noisewise.data.intensity import declared_window, extremes, linear
from noisewise.runs.intensity import Window


def test_a_window_is_linear_between_its_ends():
    values = np.array([-2000, -160, -60, 40, 240, 3000], np.int16)
    assert linear(values, Window(-160, 240)).tolist() == [0, 0, 64, 128, 255, 255]  # 63.75 and 127.5
    assert linear(np.array([0, 2**32 - 1], np.uint32), Window(0, 2**32 - 1)).tolist() == [0, 255]
    assert linear(np.array([0, 200], np.uint8), Window(-55, 200)).tolist() == [55, 255]
    assert linear(np.array([7, 7]), extremes(np.array([7, 7]))).tolist() == [0, 0]
    assert extremes(np.array([])) == (0, 0)


@pytest.mark.parametrize("centre, width", [(40, 400), (2048, 4096), (0, 100), (0, 1.5), (40.25, 80)])
def test_linear_window_is_that_of_the_standard(centre, width):
    """PS3.3 C.11.2.1.2.1, value for value."""

    def formula(x):
        if x <= centre - 0.5 - (width - 1) / 2:
            return 0
        if x > centre - 0.5 + (width - 1) / 2:
            return 255
        return ((x - (centre - 0.5)) / (width - 1) + 0.5) * 255

    values = np.arange(-1000, 5000)
    found = declared_window(values, centre, width, "LINEAR")
    assert np.abs(found - np.array([formula(x) for x in values])).max() <= 0.5 + 1e-9


def test_the_narrowest_linear_window_is_a_step():
    assert declared_window(np.array([98, 99, 100, 101]), 100, 1, "LINEAR").tolist() == [0, 0, 255, 255]


def test_linear_exact_and_sigmoid_are_those_of_the_standard():
    values = np.arange(-500, 500)
    exact = np.clip((values - 10) / 200 + 0.5, 0, 1) * 255  # C.11.2.1.3.2
    assert np.abs(declared_window(values, 10, 200, "LINEAR_EXACT") - exact).max() <= 0.5 + 1e-9
    sigmoid = 255 / (1 + np.exp(-4 * (values - 10) / 200))  # C.11.2.1.3.1
    assert np.abs(declared_window(values, 10, 200, "SIGMOID") - sigmoid).max() <= 0.5 + 1e-9
    assert declared_window(np.array([-(10**6), 10**6]), 0, 1e-3, "SIGMOID").tolist() == [0, 255]


@pytest.mark.parametrize(
    "centre, width, function",
    [(0, 0.5, "LINEAR"), (0, 0, "SIGMOID"), (0, -3, "LINEAR_EXACT"), (0, 9, "CUBIC"), (np.nan, 9, "LINEAR")],
)
def test_a_window_that_the_standard_forbids_is_none(centre, width, function):
    assert declared_window(np.arange(5), centre, width, function) is None
