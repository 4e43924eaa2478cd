"""What is memorised, against a case by hand and scikit-learn's precision and recall."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import precision_score, recall_score

from noisewise.evaluate.memorisation import Memorisation, memorisation


def sure_of(predicted: list[int], classes: int = 3) -> np.ndarray:
    return np.eye(classes)[predicted]


def test_a_case_by_hand():
    """Labels 2, 3 and 4 are wrong. The classifier repeats one of them, is right about one, and wrong in its own way
    about the third; it also contradicts the right label 1."""
    clean, given = np.array([0, 1, 2, 0, 1, 2]), np.array([0, 1, 0, 1, 2, 2])
    found = memorisation(sure_of([0, 2, 0, 0, 0, 2]), given, clean)
    assert found.memorised == pytest.approx(1 / 3)
    assert found.wrong_found_precision == pytest.approx(2 / 3)
    assert found.wrong_found_recall == pytest.approx(2 / 3)


@pytest.mark.parametrize("seed", range(5))
def test_agrees_with_sklearn(seed):
    rng = np.random.default_rng(seed)
    clean, given, predicted = (rng.integers(0, 3, 50) for _ in range(3))
    found = memorisation(sure_of(predicted), given, clean)
    assert found.wrong_found_precision == pytest.approx(precision_score(given != clean, predicted != given))
    assert found.wrong_found_recall == pytest.approx(recall_score(given != clean, predicted != given))


def test_without_wrong_labels_nothing_can_be_memorised():
    labels = np.array([0, 1, 2])
    assert memorisation(sure_of([0, 1, 2]), labels, labels) == Memorisation(None, None, None)
    assert memorisation(sure_of([0, 1, 1]), labels, labels) == Memorisation(None, 0.0, None)


def test_all_wrong_labels_learnt_by_heart():
    given, clean = np.array([0, 1, 1]), np.array([0, 0, 0])
    assert memorisation(sure_of([0, 1, 1]), given, clean) == Memorisation(1.0, None, 0.0)


def test_where_truth_is_not_known_neither_are_the_scores():
    assert memorisation(sure_of([0, 1]), np.array([0, 0]), None) == Memorisation(None, None, None)
