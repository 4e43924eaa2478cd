"""Labels in the order in which to doubt them.

The score of a label is the probability that another class is right: 1 - p(given label | image). With probabilities
that did not see the label it is cleanlab's self-confidence turned round, and is checked against that. Of cleanlab's
other rankings, margins were better where labels flip to one or few classes, and weighted entropies for some symmetric
noise; no ranking was the best for all (bench/audit.md).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from noisewise.errors import RunError


@dataclass(frozen=True, eq=False)
class Ranking:
    """score: [n], the probability that the given label is wrong, in [0, 1].
    suggested: int64 [n], the most probable class beside the given one.
    order: int64 [n], positions, the most doubtful label first; ties in their own order.
    """

    score: np.ndarray
    suggested: np.ndarray
    order: np.ndarray


def rank_labels(probabilities: np.ndarray, given: np.ndarray) -> Ranking:
    """How doubtful labels `given`, int [n], are by class probabilities [n, C] that did not learn them by heart.

    Raises:
        RunError: as `check`.
    """
    check(probabilities, given)
    rows = np.arange(len(given))
    score = np.clip(1 - probabilities[rows, given], 0, 1)
    others = probabilities.copy()
    others[rows, given] = -1
    return Ranking(score, others.argmax(axis=1), np.argsort(-score, kind="stable"))


def check(probabilities: np.ndarray, given: np.ndarray) -> None:
    """
    Raises:
        RunError: nan, a probability is not finite; data, they are not those of the labels' images and classes.
    """
    again = "Remove the run's folder and submit again: it is run anew."
    if probabilities.ndim != 2 or len(probabilities) != len(given) or len(given) == 0:
        raise RunError("data", f"{probabilities.shape} probabilities do not fit {len(given)} labels", again)
    count, classes = probabilities.shape
    if classes < 2 or given.min() < 0 or given.max() >= classes:
        raise RunError("data", f"labels from {given.min()} to {given.max()} do not fit {classes} classes", again)
    if bad := int((~np.isfinite(probabilities)).any(axis=1).sum()):
        raise RunError(
            "nan",
            f"the class probabilities of {bad} of {count} training images are not finite",
            "Lower the recipe's lr, or set precision=fp32, then submit the grid again.",
        )
