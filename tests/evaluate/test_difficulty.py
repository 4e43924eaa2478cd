"""Class separability: by hand, against scikit-learn, and what must not move it."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.metrics import calinski_harabasz_score

from noisewise.evaluate.difficulty import separability


def made(n=300, d=8, classes=4, apart=1.0, seed=0):
    """Features float32 [n, d] around a mean a class, and labels in unequal shares."""
    rng = np.random.default_rng(seed)
    labels = rng.choice(classes, n, p=np.arange(1, classes + 1) / (classes * (classes + 1) / 2))
    return (rng.normal(size=(n, d)) + apart * rng.normal(size=(classes, d))[labels]).astype(np.float32), labels


def test_by_hand():
    # Means (1, 0) of three and (5, 0) of one, (2, 0) of all. Within: 1 + 0 + 1 + 0; between: 3 * 1 + 1 * 9.
    features = np.array([[0, 0], [1, 0], [2, 0], [5, 0]], dtype=np.float32)
    assert separability(features, np.array([0, 0, 0, 1])) == pytest.approx(12 / 2)


def test_it_is_what_scikit_learn_has():
    features, labels = made()
    found, count, classes = separability(features, labels), len(labels), 4
    index = calinski_harabasz_score(features.astype(float), labels)
    assert found == pytest.approx(index * (classes - 1) / (count - classes))
    model = LinearDiscriminantAnalysis(solver="eigen").fit(features.astype(float), labels)
    within, total = np.trace(model.covariance_), np.trace(np.cov(features.T, bias=True))
    assert found == pytest.approx((total - within) / within)


def test_shift_rotation_and_scale_do_not_move_it():
    features, labels = made()
    turn = np.linalg.qr(np.random.default_rng(1).normal(size=(8, 8)))[0]
    assert separability(1000 * features @ turn - 3, labels) == pytest.approx(separability(features, labels), rel=1e-4)


def test_fewer_images_than_features_have_a_value():
    features, labels = made(n=20, d=500)
    assert 0 < separability(features, labels) < 10


def test_classes_further_apart_are_easier():
    found = [separability(*made(apart=apart)) for apart in (0, 0.5, 1, 2)]
    assert found == sorted(found) and found[0] == pytest.approx(3 / 300, rel=0.6)


def test_without_a_value():
    features, labels = made()
    assert separability(features, np.zeros(len(labels), int)) == 0
    assert separability(features[:0], labels[:0]) is None
    assert separability(np.eye(4)[labels].astype(np.float32), labels) is None  # a class's images all alike
    features[3, 2] = np.nan
    assert separability(features, labels) is None
