"""Confident learning against cleanlab's, and the estimate against cases worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest
from cleanlab.count import compute_confident_joint, estimate_latent
from drawn import draw

from noisewise.audit.estimate import class_thresholds, confident_joint, estimate_noise, transition_of
from noisewise.audit.probabilities import cross_validated


@pytest.mark.parametrize(("classes", "rate"), [(2, 0.1), (4, 0.2), (4, 0.4), (10, 0.3)])
def test_confident_learning_agrees_with_cleanlab(classes, rate):
    """Up to cleanlab's rounding to whole images, and to images with a likeliest class that is not a confident one."""
    probabilities, given, _ = draw(2000, classes, rate)
    mine, theirs = confident_joint(probabilities, given), compute_confident_joint(given, probabilities)
    np.testing.assert_allclose(mine, theirs, atol=classes)
    assert np.trace(mine) == pytest.approx(np.trace(theirs), abs=0.005 * len(given))
    _, noise_matrix, _ = estimate_latent(theirs, given)
    np.testing.assert_allclose(transition_of(mine), noise_matrix.T, atol=0.01)


def test_a_classifier_that_knows_finds_rate_and_transition():
    _, given, clean = draw(4000, 4, 0.3)
    found = estimate_noise(np.eye(4)[clean] * 0.996 + 0.001, given)
    true = np.zeros((4, 4))
    np.add.at(true, (clean, given), 1)
    np.testing.assert_allclose(found.transition, true / true.sum(1, keepdims=True), atol=0.01)
    assert found.rate == pytest.approx((given != clean).mean(), abs=0.01)


@pytest.mark.parametrize("rate", [0.0, 0.1, 0.3])
def test_a_classifier_that_errs_does_not_pass_its_errors_for_noise(rate):
    generator = np.random.default_rng(0)
    clean = np.arange(600) % 3
    given = np.where(generator.random(600) < rate, (clean + generator.integers(1, 3, 600)) % 3, clean)
    features = generator.normal(size=(600, 10)) + 2 * np.eye(10)[clean]
    probabilities = cross_validated(features, given, 3)
    assert (probabilities.argmax(axis=1) != clean).mean() > 0.12
    assert estimate_noise(probabilities, given).rate == pytest.approx((given != clean).mean(), abs=0.06)


def test_by_hand():
    """t = (1.85 / 3, .65): the third image, labelled 0, is confidently a 1; the fourth is confident of neither.

    So T = ((1, 0), (1/3, 2/3)) at first. Labels 0: shares of class 1 are .1 / (2.7 + .1), .15 / (2.55 + .15) and
    .9 / (.3 + .9). Labels 1: class 0 is never labelled so.
    """
    probabilities = np.array([[0.9, 0.1], [0.85, 0.15], [0.1, 0.9], [0.6, 0.4], [0.1, 0.9]])
    given = np.array([0, 0, 0, 1, 1])
    np.testing.assert_allclose(class_thresholds(probabilities, given), [1.85 / 3, 0.65])
    np.testing.assert_allclose(confident_joint(probabilities, given), [[2, 1], [0, 2]])
    found, wrong = estimate_noise(probabilities, given), 1 / 28 + 1 / 18 + 3 / 4
    assert found.rate == pytest.approx(wrong / 5)
    np.testing.assert_allclose(found.transition, [[1, 0], [wrong / (2 + wrong), 2 / (2 + wrong)]])


def test_a_class_that_no_label_names_keeps_its_labels():
    probabilities, given, _ = draw(300, 3)
    wider = np.hstack([0.9 * probabilities, np.full((300, 1), 0.1)])
    found, without = estimate_noise(wider, given), estimate_noise(probabilities, given)
    np.testing.assert_allclose(found.transition[3], [0, 0, 0, 1])
    assert found.rate == pytest.approx(without.rate)


def test_labels_that_are_all_alike_hold_no_noise():
    found = estimate_noise(np.tile([0.6, 0.4], (5, 1)), np.zeros(5, dtype=np.int64))
    assert found.rate == 0
    np.testing.assert_array_equal(found.transition, np.eye(2))


def test_rows_sum_to_one_whatever_the_classifier_says():
    generator = np.random.default_rng(1)
    found = estimate_noise(generator.dirichlet(np.ones(5), 50), generator.integers(5, size=50))
    np.testing.assert_allclose(found.transition.sum(axis=1), 1)
    assert 0 <= found.rate <= 1
