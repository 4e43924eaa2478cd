"""Probes against lightly, scikit-learn, other formulas of the same quantity, and cases done by hand."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from lightly.utils.benchmarking import knn_predict
from sklearn.metrics import f1_score
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.neighbors import KNeighborsClassifier
from torch import nn

from noisewise.evaluate import probes
from noisewise.evaluate.probes import (
    cross_validated_probabilities,
    knn_f1,
    linear_classifier,
    linear_f1,
    rankme,
    spread,
)


def blobs(seed: int, train: int = 80, val: int = 60, width: int = 6, classes: int = 4, apart: float = 0.8):
    """Overlapping classes: train features, labels, val features, labels."""
    rng = np.random.default_rng(seed)
    centres = apart * rng.normal(size=(classes, width))

    def draw(count: int) -> tuple[np.ndarray, np.ndarray]:
        labels = rng.integers(0, classes, count)
        return (centres[labels] + rng.normal(size=(count, width))).astype(np.float32), labels

    return *draw(train), *draw(val)


def macro_f1(labels: np.ndarray, predicted: np.ndarray) -> float:
    return f1_score(labels, predicted, labels=np.unique(labels), average="macro", zero_division=0)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from([1, 5, 20, 80]), st.sampled_from([0.07, 0.5]))
def test_knn_agrees_with_lightly(seed, k, temperature):
    train, train_labels, val, val_labels = blobs(seed)
    bank, queries = (nn.functional.normalize(torch.from_numpy(values), dim=1) for values in (train, val))
    predicted = knn_predict(queries, bank.T, torch.from_numpy(train_labels), 4, k, temperature)[:, 0]
    ours = knn_f1(train, train_labels, val, val_labels, 4, k, temperature)
    assert ours == pytest.approx(macro_f1(val_labels, predicted.numpy()), abs=1e-6)
    assert 0.2 < ours < 1  # neither chance nor too easy to tell two classifiers apart


@pytest.mark.parametrize("seed", range(5))
def test_knn_agrees_with_sklearns_cosine_neighbours(seed):
    train, train_labels, val, val_labels = blobs(seed)
    model = KNeighborsClassifier(20, metric="cosine", weights=lambda distance: np.exp((1 - distance) / 0.07))
    predicted = model.fit(train, train_labels).predict(val)
    assert knn_f1(train, train_labels, val, val_labels, 4) == pytest.approx(macro_f1(val_labels, predicted), abs=1e-6)


def test_the_nearer_of_two_neighbours_outvotes_more_that_are_far():
    """One at 0 degrees against two at 60: e^(1/T) against 2 e^(1/2T), so the one wins while T < 1 / (2 log 2)."""
    far = [math.cos(math.pi / 3), math.sin(math.pi / 3)]
    train, labels = np.array([[1, 0], far, far], dtype=np.float32), np.array([0, 1, 1])
    query = np.array([[3, 0]], dtype=np.float32)
    assert knn_f1(train, labels, query, np.array([0]), 2, k=3, temperature=0.72) == 1
    assert knn_f1(train, labels, query, np.array([1]), 2, k=3, temperature=0.73) == 1


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 12))
def test_a_tie_goes_to_the_lower_class(seed, count):
    """Each training feature is there once with either label, so every vote is a tie."""
    rng = np.random.default_rng(seed)
    half = rng.normal(size=(count, 5)).astype(np.float32)
    order = rng.permutation(2 * count)
    train, labels = np.concatenate([half, half])[order], np.repeat([2, 1], count)[order]
    val = rng.normal(size=(7, 5)).astype(np.float32)
    assert knn_f1(train, labels, val, np.ones(7, dtype=int), 3, k=2 * count) == 1


def test_fewer_training_features_than_neighbours():
    train, train_labels, val, val_labels = blobs(0, train=6)
    few = knn_f1(train, train_labels, val, val_labels, 4, k=20)
    assert few == knn_f1(train, train_labels, val, val_labels, 4, k=6) and few > 0.2


def test_lengths_do_not_matter_to_neighbours_nor_scales_to_the_linear_probe():
    train, train_labels, val, val_labels = blobs(1)
    longer = np.random.default_rng(0).uniform(0.1, 10, len(train)).astype(np.float32)[:, None]
    assert knn_f1(train * longer, train_labels, val, val_labels, 4) == knn_f1(train, train_labels, val, val_labels, 4)
    scale = np.array([1, 8, 64, 0.125, 2, 4], dtype=np.float32)
    assert linear_f1(train * scale + 1, train_labels, val * scale + 1, val_labels, 4) == pytest.approx(
        linear_f1(train, train_labels, val, val_labels, 4), abs=1e-6
    )


@pytest.mark.parametrize("seed", range(3))
def test_linear_agrees_with_the_same_regression_descended_in_torch(seed):
    """Softmax regression, its penalty half the squared weights, in float64 to the end."""
    train, train_labels, val, val_labels = blobs(seed)
    mean, std = train.mean(0), train.std(0)
    known, asked = (torch.from_numpy(((values - mean) / std).astype(np.float64)) for values in (train, val))
    layer = nn.Linear(6, 4, dtype=torch.float64)
    optimiser = torch.optim.LBFGS(layer.parameters(), max_iter=500, tolerance_grad=1e-9, line_search_fn="strong_wolfe")

    def loss():
        optimiser.zero_grad()
        fit = nn.functional.cross_entropy(layer(known), torch.from_numpy(train_labels), reduction="sum")
        value = fit + layer.weight.square().sum() / 2
        value.backward()
        return value

    optimiser.step(loss)
    predicted = layer(asked).argmax(1).numpy()
    assert linear_f1(train, train_labels, val, val_labels, 4) == pytest.approx(macro_f1(val_labels, predicted))


@pytest.mark.parametrize("strength", [1.0, 0.01])
def test_cross_validation_agrees_with_sklearns(strength):
    features, labels, _, _ = blobs(0)
    folds = StratifiedKFold(5, shuffle=True, random_state=0)
    wanted = cross_val_predict(linear_classifier(strength), features, labels, cv=folds, method="predict_proba")
    np.testing.assert_allclose(cross_validated_probabilities(features, labels, 4, strength), wanted, atol=1e-12)


def test_cross_validation_does_not_remark_on_thin_classes_and_refuses_what_is_not_finite():
    features, labels, _, _ = blobs(0)
    labels[0] = 4  # a class of one image
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert cross_validated_probabilities(features, labels, 6).shape == (80, 6)
    features[3, 1] = np.inf
    with pytest.raises(ValueError, match="infinity"):
        cross_validated_probabilities(features, labels, 6)


@pytest.mark.parametrize("probe", [knn_f1, linear_f1])
def test_classes_told_apart_at_once(probe):
    train, train_labels, val, val_labels = blobs(0, apart=30)
    assert probe(train, train_labels, val, val_labels, 4) == 1


@pytest.mark.parametrize("probe", [knn_f1, linear_f1])
def test_a_class_without_training_images_scores_nought_and_moves_no_other(probe):
    train, train_labels, val, val_labels = blobs(0, apart=30)
    seen = train_labels != 1
    without = probe(train[seen], train_labels[seen], val[val_labels != 1], val_labels[val_labels != 1], 4)
    assert without == 1  # classes 2 and 3 keep their numbers
    assert 0 < probe(train[seen], train_labels[seen], val, val_labels, 4) < 0.75


@pytest.mark.parametrize("probe", [knn_f1, linear_f1])
def test_one_class_alone(probe):
    train, train_labels, val, val_labels = blobs(0, apart=30)
    only = np.full(len(val), 2)
    assert probe(train, np.full(len(train), 2), val, only, 4) == 1
    assert probe(train, train_labels, val[val_labels == 2], val_labels[val_labels == 2], 4) == 1
    assert probe(train, np.full(len(train), 2), val, np.full(len(val), 1), 4) == 0


@pytest.mark.parametrize("probe", [knn_f1, linear_f1])
@pytest.mark.parametrize("level", [0, 3])
def test_features_all_the_same_predict_one_class(probe, level):
    same = np.full((30, 5), level, dtype=np.float32)
    labels = np.arange(30) % 3
    assert probe(same, labels, same, labels, 3) == pytest.approx(1 / 6)  # F1 of 1/2, 0 and 0


def test_the_linear_probe_does_not_remark_on_its_last_digits(monkeypatch):
    monkeypatch.setattr(probes, "LINEAR_ITERATIONS", 2)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        first = linear_f1(*blobs(0), 4)
    assert first == linear_f1(*blobs(0), 4) > 0.3


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.integers(2, 40), st.integers(2, 20), st.floats(0, 2))
def test_rankme_agrees_with_the_gram_matrix(seed, count, width, decay):
    """Singular values are the roots of the Gram matrix's eigenvalues."""
    rng = np.random.default_rng(seed)
    features = (rng.normal(size=(count, width)) * np.arange(1, width + 1) ** -decay).astype(np.float32)
    gram = features.astype(np.float64).T @ features.astype(np.float64)
    roots = np.sqrt(np.linalg.eigvalsh(gram).clip(0))
    shares = np.sort(roots)[::-1][: min(count, width)] / roots.sum() + 1e-7
    found = rankme(features)
    assert found == pytest.approx(np.prod(shares**-shares), rel=1e-4)
    assert 1 <= found <= min(count, width) * (1 + 1e-4)


def test_rankme_by_hand():
    assert rankme(3 * np.eye(8, dtype=np.float32)) == pytest.approx(8, rel=1e-4)
    assert rankme(np.tile(np.eye(8, dtype=np.float32), (5, 1))) == pytest.approx(8, rel=1e-4)
    one = np.outer(np.arange(1, 30), np.arange(1, 9)).astype(np.float32)
    assert rankme(one) == pytest.approx(1, rel=1e-4)
    two = np.diag([3, 1]).astype(np.float32)  # entropy of 3/4 and 1/4
    assert rankme(two) == pytest.approx(4 / 3**0.75, rel=1e-5)
    assert rankme(np.zeros((5, 3), dtype=np.float32)) == pytest.approx(1, rel=1e-4)


def test_spread_of_directions_drawn_at_random_is_one():
    features = np.random.default_rng(0).normal(size=(4000, 32)).astype(np.float32)
    assert spread(features) == pytest.approx(1, abs=0.01)
    lengths = np.random.default_rng(1).uniform(0.1, 9, (4000, 1)).astype(np.float32)
    assert spread(features * lengths) == pytest.approx(spread(features), rel=1e-5)


def test_spread_by_hand():
    """Unit vectors (1, 0) and (0, 1): each dimension has a standard deviation of 1/2, times the root of 2."""
    assert spread(np.array([[5, 0], [0, 2]], dtype=np.float32)) == pytest.approx(math.sqrt(2) / 2)


@pytest.mark.parametrize("row", [[1.0, 2.0, 3.0], [0.0, 0.0, 0.0], [1e30, 1e30, 2e30]])
def test_spread_of_one_direction_is_nought(row):
    features = np.outer([1, 2, 3, 0.5], row).astype(np.float32)
    assert spread(features) == pytest.approx(0, abs=1e-6)


def test_spread_agrees_with_torch():
    features = np.random.default_rng(2).normal(1, 1, size=(50, 7)).astype(np.float32)
    unit = nn.functional.normalize(torch.from_numpy(features), dim=1)
    assert spread(features) == pytest.approx((unit.std(0, correction=0).mean() * 7**0.5).item(), rel=1e-5)
