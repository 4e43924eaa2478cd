"""Fractions of the training images: which are legal, and how they are written."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from noisewise.errors import UserError
from noisewise.runs.fraction import check_fraction, images_name, percent

fractions = st.floats(0, 1, exclude_min=True)


@pytest.mark.parametrize(
    ("fraction", "text"),
    [(0.1, "10%"), (0.125, "12.5%"), (1, "100%"), (1 / 3, "33.33333333333333%"), (1e-7, "0.00001%")],
)
def test_fractions_are_written_as_people_do(fraction, text):
    assert percent(fraction) == text


@given(fractions, fractions)
def test_two_fractions_never_look_alike(one, other):
    assert (percent(one) == percent(other)) == (one == other)


def test_all_images_go_without_saying():
    assert [images_name("elpv", fraction) for fraction in (1.0, 0.1)] == ["elpv", "elpv 10%"]


def test_a_whole_number_becomes_a_float():
    assert repr(check_fraction(1, "it")) == "1.0"


@pytest.mark.parametrize("value", [0, -0.1, 1.01, float("nan"), "10%", True, None, [0.1]])
def test_what_is_no_fraction_is_refused_with_its_place(value):
    with pytest.raises(UserError, match="^data.fraction is .*above 0 and at most 1, such as 0.1"):
        check_fraction(value, "data.fraction")
