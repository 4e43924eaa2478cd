"""Classes into groups of look-alikes, by what a classifier on given features takes for what.

1. A logistic regression (scikit-learn's, on standardised features) predicts each image from the others, in up to five
   folds; its confusion of class i with j is the share of i's images that it takes for j.
2. How alike two classes are is the mean of both shares, to the percent: what rounding on another machine does to single
   images of a large class hardly ever shows.
3. Groups merge, the most alike first (average linkage, SciPy's), while classes of the one and of the other are on
   average at least as alike as any two classes are. So the cut moves with the features: good ones and poor ones find
   groups.

Deterministic: ties are settled by the order of the classes, and folds are the same each time. Checked on confusions by
hand and against a loop over all pairs of groups.
"""

from __future__ import annotations

import numpy as np

from noisewise.evaluate.probes import cross_validated_probabilities

DIGITS = 2  # of a share
TOUCH = 1e-9  # what is as alike as the mean, but for rounding, is merged


def probe_confusion(features: np.ndarray, labels: np.ndarray, classes: int) -> np.ndarray:
    """How many images of class i (row) are taken for j by a linear probe that has not seen them: int64 [C, C].

    Args:
        features: float32 [n, d], finite. labels: int64 [n], true classes in [0, classes).

    Raises:
        ValueError: no class has two images, or there is one class alone.
    """
    counts = np.bincount(labels, minlength=classes)
    if counts.max() < 2 or np.count_nonzero(counts) < 2:
        raise ValueError("confusions take two classes, and two images of one.")
    predicted = cross_validated_probabilities(features, labels, classes).argmax(axis=1)
    confusion = np.zeros((classes, classes), dtype=np.int64)
    np.add.at(confusion, (labels, predicted), 1)
    return confusion


def group(confusion: np.ndarray) -> list[list[int]]:
    """Every class in one group, classes and groups in ascending order; a class that is like no other is alone.

    Args:
        confusion: counts [C, C], true by predicted. Two classes that are confused at all are one group.
    """
    from scipy.cluster.hierarchy import fcluster, linkage
    from scipy.spatial.distance import squareform

    count = len(confusion)
    alike = likeness(confusion)
    pairs = squareform(alike, checks=False)
    if not pairs.any():
        return [[number] for number in range(count)]
    numbers = fcluster(linkage(1 - pairs, "average"), 1 - pairs.mean() + TOUCH, "distance")
    members: dict[int, list[int]] = {}
    for number, of in enumerate(numbers.tolist()):
        members.setdefault(of, []).append(number)
    return sorted(members.values())


def likeness(confusion: np.ndarray) -> np.ndarray:
    """How alike each two of C classes are, symmetric [C, C], in [0, 1], to the percent; 0 on the diagonal."""
    rows = confusion.sum(1, keepdims=True)
    shares = confusion / np.maximum(rows, 1)
    alike = ((shares + shares.T) / 2).round(DIGITS)
    np.fill_diagonal(alike, 0)
    return alike
