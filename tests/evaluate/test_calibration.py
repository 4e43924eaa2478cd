"""The calibration error against torchmetrics and by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torchmetrics.functional.classification import multiclass_calibration_error

from noisewise.evaluate.calibration import BINS, calibration_error


@pytest.mark.parametrize(("count", "classes"), [(1, 2), (7, 3), (400, 2), (400, 10)])
def test_agrees_with_torchmetrics(count, classes):
    rng = np.random.default_rng(count + classes)
    probabilities = rng.dirichlet(np.full(classes, 0.3), count).astype(np.float32)
    labels = rng.integers(0, classes, count)
    wanted = multiclass_calibration_error(torch.from_numpy(probabilities), torch.from_numpy(labels), classes, BINS)
    assert calibration_error(probabilities, labels) == pytest.approx(wanted.item(), abs=1e-6)


def test_a_case_by_hand():
    """Two images in one bin with mean confidence .84, one of them right; one of .6, wrong; one of 1, right."""
    probabilities = np.array([[0.83, 0.17], [0.15, 0.85], [0.6, 0.4], [0.0, 1.0]])
    assert calibration_error(probabilities, np.array([0, 0, 1, 1])) == pytest.approx(
        (2 * abs(0.5 - 0.84) + 0.6 + 0.0) / 4
    )


def test_a_bins_upper_edge_is_its_own():
    """Confidences 2/3 and .65 share the bin (9/15, 10/15]; were they parted, .35 and 2/3 would be summed as they are."""
    probabilities = np.array([[10 / 15, 5 / 15], [0.65, 0.35]])
    together = abs(1 - (10 / 15 + 0.65)) / 2
    assert calibration_error(probabilities, np.array([1, 0])) == pytest.approx(together)


def test_sure_and_right_is_nought_and_sure_and_wrong_is_one():
    sure = np.eye(3)[[0, 1, 2, 2]]
    assert calibration_error(sure, np.array([0, 1, 2, 2])) == 0
    assert calibration_error(sure, np.array([1, 2, 0, 0])) == 1


def test_rounding_above_one_stays_in_the_last_bin():
    above = np.array([[np.float32(1) + np.finfo(np.float32).eps, 0]], dtype=np.float32)
    assert calibration_error(above, np.array([0])) == pytest.approx(0, abs=1e-6)
