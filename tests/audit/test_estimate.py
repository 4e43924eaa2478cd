"""Confident learning against cleanlab's, and against a case worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest
from cleanlab.count import compute_confident_joint, estimate_latent
from drawn import draw

from noisewise.audit.estimate import class_thresholds, estimate_noise


@pytest.mark.parametrize(("classes", "rate"), [(2, 0.1), (4, 0.2), (4, 0.4), (10, 0.3)])
def test_agrees_with_cleanlab(classes, rate):
    """Up to cleanlab's rounding to whole images, and to images with a likeliest class that is not a confident one."""
    probabilities, given, _ = draw(2000, classes, rate)
    found = estimate_noise(probabilities, given)
    joint = compute_confident_joint(given, probabilities)
    np.testing.assert_allclose(found.joint * len(given), joint, atol=classes)
    assert found.rate == pytest.approx(1 - np.trace(joint) / joint.sum(), abs=0.005)
    _, noise_matrix, _ = estimate_latent(joint, given)
    np.testing.assert_allclose(found.transition, noise_matrix.T, atol=0.01)


def test_a_good_classifier_finds_rate_and_transition():
    probabilities, given, clean = draw(4000, 4, 0.3)
    found = estimate_noise(np.eye(4)[clean] * 0.96 + 0.01, given)
    true = np.zeros((4, 4))
    np.add.at(true, (clean, given), 1)
    np.testing.assert_allclose(found.transition, true / true.sum(1, keepdims=True), atol=1e-12)
    assert found.rate == pytest.approx((given != clean).mean())
    assert estimate_noise(probabilities, given).rate == pytest.approx(0.3, abs=0.06)


def test_by_hand():
    """t = (.7, .6): image 2, labelled 0, is confidently a 1; image 3, confident of neither, does not count."""
    probabilities = np.array([[0.9, 0.1], [0.85, 0.15], [0.3, 0.7], [0.6, 0.4], [0.1, 0.9]])
    given = np.array([0, 0, 0, 1, 1])
    np.testing.assert_allclose(class_thresholds(probabilities, given), [2.05 / 3, 1.3 / 2])
    found = estimate_noise(probabilities, given)
    np.testing.assert_allclose(found.joint * 5, [[2, 1], [0, 2]])
    np.testing.assert_allclose(found.transition, [[1, 0], [1 / 3, 2 / 3]])
    assert found.rate == pytest.approx(0.2)


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
    assert found.joint.sum() == pytest.approx(1) and 0 <= found.rate <= 1
