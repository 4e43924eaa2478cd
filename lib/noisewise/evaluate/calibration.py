"""How far a classifier's confidence is from how often it is right.

On Calibration of Modern Neural Networks (arXiv 1706.04599, equation 3): images are binned by the probability of the
class that is predicted, in M bins of equal width, ((m - 1)/M, m/M]; with acc the share of a bin's images that are right
and conf their mean probability, the expected calibration error is the sum over bins of |bin| / n * |acc - conf|.
Checked against torchmetrics and a case by hand.
"""

from __future__ import annotations

import numpy as np

BINS = 15  # M, the paper's


def calibration_error(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """Expected calibration error, in [0, 1], of probabilities [n, C] against labels int [n], n >= 1."""
    right = probabilities.argmax(axis=1) == labels
    confidence = probabilities.max(axis=1).astype(np.float64)
    bins = np.clip(np.ceil(confidence * BINS).astype(np.int64) - 1, 0, BINS - 1)
    apart = np.bincount(bins, weights=right - confidence, minlength=BINS)
    return float(np.abs(apart).sum() / len(labels))
