"""The scores against scikit-learn's own entry points and against cases done by hand."""

from __future__ import annotations

import json
import warnings
from dataclasses import asdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics

from noisewise.errors import RunError
from noisewise.evaluate.scores import score


@st.composite
def predictions(draw):
    """Probabilities [n, C] and labels [n]; classes are often absent and ties are common."""
    n, classes = draw(st.integers(1, 30)), draw(st.integers(2, 5))
    rng = np.random.default_rng(draw(st.integers(0, 10_000)))
    coarse = rng.integers(1, 5, size=(n, classes)).astype(float)
    return coarse / coarse.sum(axis=1, keepdims=True), rng.integers(0, draw(st.integers(1, classes)), size=n)


@settings(max_examples=60, deadline=None)
@given(predictions())
def test_agrees_with_sklearn(given_):
    probabilities, labels = given_
    scores, predicted, present = score(*given_), probabilities.argmax(1), np.unique(labels)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # balanced_accuracy_score remarks on predicted classes without images
        balanced = metrics.balanced_accuracy_score(labels, predicted)
    assert scores.f1 == pytest.approx(
        metrics.f1_score(labels, predicted, labels=present, average="macro", zero_division=0)
    )
    assert scores.accuracy == pytest.approx(metrics.accuracy_score(labels, predicted))
    assert scores.balanced_accuracy == pytest.approx(balanced)
    recalls = metrics.recall_score(labels, predicted, labels=present, average=None, zero_division=0)
    assert [value for value in scores.sensitivity_per_class if value is not None] == pytest.approx(recalls.tolist())
    assert np.trace(scores.confusion) == pytest.approx(scores.accuracy * len(labels))
    assert [value is not None for value in scores.f1_per_class] == list(np.isin(range(probabilities.shape[1]), labels))
    json.dumps(asdict(scores), allow_nan=False)


@settings(max_examples=40, deadline=None)
@given(predictions())
def test_auroc_agrees_with_sklearn_or_is_none(given_):
    probabilities, labels = given_
    classes = probabilities.shape[1]
    auroc = score(probabilities, labels).auroc
    if len(np.unique(labels)) < classes:
        assert auroc is None
    elif classes == 2:
        assert auroc == pytest.approx(metrics.roc_auc_score(labels, probabilities[:, 1]))
    else:
        assert auroc == pytest.approx(metrics.roc_auc_score(labels, probabilities, multi_class="ovr"))


def test_a_case_by_hand():
    probabilities = np.array([[0.8, 0.1, 0.1], [0.3, 0.4, 0.3], [0.1, 0.8, 0.1], [0.5, 0.4, 0.1]])
    scores = score(probabilities, np.array([0, 0, 1, 1]))
    assert scores.confusion == [[1, 1, 0], [1, 1, 0], [0, 0, 0]]  # rows are the true classes
    assert scores.f1_per_class == scores.sensitivity_per_class == [0.5, 0.5, None]
    assert (scores.f1, scores.accuracy, scores.auroc) == (0.5, 0.5, None)


def test_the_first_class_wins_a_tie():
    assert score(np.array([[0.5, 0.5], [0.5, 0.5]]), np.array([0, 1])).confusion == [[1, 0], [1, 0]]


def test_a_class_never_predicted_scores_nought():
    scores = score(np.array([[0.9, 0.1], [0.8, 0.2]]), np.array([0, 1]))
    assert scores.f1_per_class[1] == 0.0
    assert scores.f1 == pytest.approx(1 / 3)


def test_two_classes_of_which_one_is_rare_have_every_score():
    """99 images of one class, all found; the one of the other is missed, and is still the likeliest of its class."""
    probabilities = np.column_stack([np.linspace(0.6, 0.99, 100), 1 - np.linspace(0.6, 0.99, 100)])
    scores = score(probabilities, np.array([1] + [0] * 99))
    assert scores.sensitivity_per_class == [1.0, 0.0]
    assert (scores.accuracy, scores.balanced_accuracy, scores.auroc) == (0.99, 0.5, 1.0)
    assert scores.f1 == pytest.approx((2 * 99 / (2 * 99 + 1)) / 2)


def test_images_of_one_class_alone_have_all_but_auroc():
    scores = score(np.array([[0.9, 0.1], [0.4, 0.6]]), np.array([0, 0]))
    assert (scores.auroc, scores.sensitivity_per_class, scores.balanced_accuracy) == (None, [0.5, None], 0.5)


@pytest.mark.parametrize(
    ("probabilities", "labels"),
    [(np.ones((2, 3)), [0]), (np.ones((0, 3)), []), (np.ones(3), [0, 1, 2]), (np.ones((1, 2)), [2])],
)
def test_what_does_not_fit_is_refused(probabilities, labels):
    with pytest.raises(ValueError, match=r"labels"):
        score(probabilities, np.array(labels, dtype=int))


def test_outputs_that_are_not_finite_fail_the_run_as_nan():
    with pytest.raises(RunError, match="1 of 2 images, first image 1") as caught:
        score(np.array([[0.5, 0.5], [np.nan, 0.5]]), np.array([0, 1]))
    assert caught.value.kind == "nan"
