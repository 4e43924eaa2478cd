"""The best epoch and the last ones."""

from __future__ import annotations

import pytest

from noisewise.evaluate.selection import best_and_last


def record(epoch, val, test, auroc=0.9, sensitivity=(0.5, 0.5)):
    return {
        "epoch": epoch,
        "val_f1": val,
        "test_f1": test,
        "test_accuracy": test + 0.01,
        "test_balanced_accuracy": test + 0.02,
        "test_auroc": auroc,
        "test_ece": test / 10,
        "test_sensitivity_per_class": list(sensitivity),
    }


def test_best_is_chosen_by_validation_and_not_by_test():
    history = [
        record(1, 0.5, 0.4),
        record(2, 0.7, 0.6, auroc=None, sensitivity=(0.2, None)),
        record(3, 0.6, 0.9, sensitivity=(0.4, None)),
    ]
    chosen = best_and_last(history, last_epochs=2)
    assert chosen == {
        "f1_best": 0.6,
        "accuracy_best": pytest.approx(0.61),
        "balanced_accuracy_best": pytest.approx(0.62),
        "auroc_best": None,
        "ece_best": pytest.approx(0.06),
        "sensitivity_per_class_best": [0.2, None],
        "f1_last": pytest.approx(0.75),
        "accuracy_last": pytest.approx(0.76),
        "balanced_accuracy_last": pytest.approx(0.77),
        "auroc_last": None,
        "ece_last": pytest.approx(0.075),
        "sensitivity_per_class_last": [pytest.approx(0.3), None],
        "best_epoch": 2,
    }


def test_the_first_of_equal_epochs_is_best():
    assert best_and_last([record(4, 0.7, 0.1), record(5, 0.7, 0.2)])["best_epoch"] == 4


def test_last_is_over_the_last_five_only():
    history = [record(epoch, 0.5, 1.0 if epoch <= 3 else 0.2) for epoch in range(1, 9)]
    assert best_and_last(history)["f1_last"] == pytest.approx(0.2)


def test_fewer_epochs_than_asked_for_are_all_averaged():
    assert best_and_last([record(1, 0.5, 0.2), record(2, 0.4, 0.4)], last_epochs=5)["f1_last"] == pytest.approx(0.3)


def test_no_epochs_and_no_last_epochs_are_refused():
    with pytest.raises(ValueError, match="no epoch"):
        best_and_last([])
    with pytest.raises(ValueError, match="at least 1"):
        best_and_last([record(1, 0.5, 0.5)], last_epochs=0)
