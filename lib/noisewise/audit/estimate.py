"""How many labels are wrong, and which classes are taken for which: confident learning (arXiv 1911.00068, section 3).

An image is confidently of class j when p_j is at least t_j, the mean of p_j over the images that are labelled j; of
several such classes, the one with the largest p_j counts. The confident joint

    C[i, j] = how many images labelled i are confidently of class j

has its rows scaled to the number of images with each label, because not every image is confident (equation 3); what
is left of its diagonal is the noise. Checked against cleanlab's `compute_confident_joint` and `estimate_latent`,
which round the joint to whole images, and by a case worked out by hand.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

EPSILON = 1e-6  # a probability that is below its threshold by rounding alone reaches it


@dataclass(frozen=True, eq=False)
class NoiseEstimate:
    """What the labels' noise probably is.

    joint: [C, C], the share of images labelled i (row) that are truly of class j; it sums to 1.
    rate: share of labels that are wrong, in [0, 1].
    transition: [C, C], the probability that an image truly of class i (row) is labelled j; rows sum to 1. A class that
        no image is confidently of keeps its labels: its row is 1 on the diagonal.
    """

    joint: np.ndarray
    rate: float
    transition: np.ndarray


def estimate_noise(probabilities: np.ndarray, given: np.ndarray) -> NoiseEstimate:
    """The noise in labels `given`, int [n], by out-of-sample class probabilities [n, C], finite, n >= 1."""
    classes = probabilities.shape[1]
    thresholds = class_thresholds(probabilities, given)
    sure = probabilities >= thresholds - EPSILON
    confident = sure.any(axis=1)
    found = np.where(sure, probabilities, -1.0).argmax(axis=1)
    counts = np.zeros((classes, classes))
    np.add.at(counts, (given[confident], found[confident]), 1)
    labelled = np.bincount(given, minlength=classes)
    np.fill_diagonal(counts, np.maximum(counts.diagonal(), labelled > 0))  # no label is wrong on every image
    sums = counts.sum(axis=1, keepdims=True)
    joint = counts / np.where(sums, sums, 1) * labelled[:, None] / len(given)
    true = joint.sum(axis=0)[:, None]
    transition = np.where(true > 0, joint.T / np.where(true > 0, true, 1), np.eye(classes))
    return NoiseEstimate(joint, float(1 - np.trace(joint)), transition)


def class_thresholds(probabilities: np.ndarray, given: np.ndarray) -> np.ndarray:
    """t_j: the mean of p_j over the images that are labelled j, [C]; infinite for a class that no label names."""
    labelled = np.bincount(given, minlength=probabilities.shape[1])
    own = probabilities[np.arange(len(given)), given]
    sums = np.bincount(given, weights=own, minlength=probabilities.shape[1])
    return np.where(labelled > 0, sums / np.maximum(labelled, 1), np.inf)
