"""Clean and wrong labels by their losses, on heaps made by hand."""

from __future__ import annotations

import numpy as np
import pytest

from noisewise.errors import RunError
from noisewise.finetune.loss_mixture import clean_probability


def two_heaps(clean: int = 700, wrong: int = 300) -> np.ndarray:
    """Losses about .2 of the clean labels, then about 3 of the wrong ones."""
    generator = np.random.default_rng(0)
    return np.concatenate([generator.normal(0.2, 0.1, clean), generator.normal(3, 0.3, wrong)])


def test_two_heaps_are_told_apart():
    found = clean_probability(two_heaps())
    assert (found[:700] > 0.99).all() and (found[700:] < 0.01).all()


def test_where_the_heaps_lie_and_how_wide_they_are_does_not_matter():
    np.testing.assert_allclose(clean_probability(10 + 7 * two_heaps()), clean_probability(two_heaps()), atol=1e-9)


def test_the_same_losses_give_the_same_probabilities_to_the_bit():
    assert np.array_equal(clean_probability(two_heaps()), clean_probability(two_heaps()))


def test_between_the_heaps_nobody_can_tell():
    """Two equal heaps about 0 and 1, mirrored, so that one half lies on their border."""
    heap = np.random.default_rng(1).normal(0, 0.1, 500)
    assert clean_probability(np.concatenate([heap, 1 - heap, [0.5]]))[-1] == pytest.approx(0.5, abs=0.02)


@pytest.mark.parametrize("losses", [np.zeros(5), np.full(3, 2.5), np.ones(1)])
def test_losses_that_are_all_alike_are_of_clean_labels(losses):
    assert clean_probability(losses).tolist() == [1.0] * len(losses)


def test_two_losses_are_enough():
    assert clean_probability(np.array([0.1, 5.0])).tolist() == pytest.approx([1, 0], abs=1e-6)


@pytest.mark.parametrize("wrong", [np.nan, np.inf])
def test_losses_that_are_no_numbers_end_the_run(wrong):
    with pytest.raises(RunError, match="losses of 1 training images are not finite") as error:
        clean_probability(np.array([0.1, wrong, 2.0]))
    assert error.value.kind == "nan" and "lr" in error.value.advice
