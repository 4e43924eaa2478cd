"""How many labels are wrong, and which classes are taken for which.

First by confident learning (arXiv 1911.00068, section 3). An image is confidently of class j when p_j is at least t_j,
the mean of p_j over the images labelled j; of several such classes, the one with the largest p_j counts. The confident
joint, of how many images labelled i are confidently of class j, has its rows scaled to the number of images with each
label (equation 3), and gives a first T[j, i], the probability that class j is labelled i. Checked against cleanlab's
`compute_confident_joint` and `estimate_latent`, which round to whole images.

That counts as noise whatever the classifier gets wrong. So each image is then looked at with its label as evidence:

    P(true = j | image, label i)  is proportional to  p_j T[j, i]

and its shares of the classes are counted anew, which is one step of expectation maximisation from there. On real images
that came nearer to the true rate and matrix, and it is still too high where the classifier is poor (bench/audit.md).
Checked by a case worked out by hand.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

EPSILON = 1e-6  # a probability that is below its threshold by rounding alone reaches it


@dataclass(frozen=True, eq=False)
class NoiseEstimate:
    """What the labels' noise probably is.

    rate: share of labels that are wrong, in [0, 1].
    transition: [C, C], the probability that an image truly of class i (row) is labelled j; rows sum to 1. A class that
        no image is of keeps its labels: its row is 1 on the diagonal.
    """

    rate: float
    transition: np.ndarray


def estimate_noise(probabilities: np.ndarray, given: np.ndarray) -> NoiseEstimate:
    """The noise in labels `given`, int [n], by class probabilities [n, C], finite, that did not learn them by heart."""
    transition = transition_of(confident_joint(probabilities, given))
    shares = probabilities * transition[:, given].T
    sums = shares.sum(axis=1, keepdims=True)
    shares = np.where(sums > 0, shares / np.where(sums > 0, sums, 1), np.eye(len(transition))[given])
    joint = np.zeros_like(transition)
    np.add.at(joint, given, shares)
    return NoiseEstimate(max(0.0, float(1 - np.trace(joint) / len(given))), transition_of(joint))


def confident_joint(probabilities: np.ndarray, given: np.ndarray) -> np.ndarray:
    """How many images labelled i (row) are of class j, [C, C]; a row sums to how many have its label."""
    classes = probabilities.shape[1]
    sure = probabilities >= class_thresholds(probabilities, given) - EPSILON
    confident = sure.any(axis=1)
    found = np.where(sure, probabilities, -1.0).argmax(axis=1)
    joint = np.zeros((classes, classes))
    np.add.at(joint, (given[confident], found[confident]), 1)
    labelled = np.bincount(given, minlength=classes)
    np.fill_diagonal(joint, np.maximum(joint.diagonal(), labelled > 0))  # no label is wrong on every image
    sums = joint.sum(axis=1)
    return joint * (labelled / np.where(sums, sums, 1))[:, None]


def class_thresholds(probabilities: np.ndarray, given: np.ndarray) -> np.ndarray:
    """t_j: the mean of p_j over the images that are labelled j, [C]; infinite for a class that no label names."""
    labelled = np.bincount(given, minlength=probabilities.shape[1])
    own = probabilities[np.arange(len(given)), given]
    sums = np.bincount(given, weights=own, minlength=probabilities.shape[1])
    return np.where(labelled > 0, sums / np.maximum(labelled, 1), np.inf)


def transition_of(joint: np.ndarray) -> np.ndarray:
    """T[j, i] of counts [i, j] of label i and class j; a class without images keeps its labels."""
    sums = joint.sum(axis=0)[:, None]
    return np.where(sums > 0, joint.T / np.where(sums > 0, sums, 1), np.eye(len(joint)))
