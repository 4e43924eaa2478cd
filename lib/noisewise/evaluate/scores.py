"""The scores of a classifier on labelled images."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from noisewise.errors import RunError
from noisewise.evaluate.calibration import calibration_error


@dataclass(frozen=True)
class Scores:
    """Fractions in [0, 1]; plain Python values, ready for JSON.

    f1: F1 averaged over the classes that have images (macro).
    accuracy: share of images that are right.
    balanced_accuracy: recall averaged over the classes that have images.
    auroc: area under the ROC curve, one class against the rest, averaged over classes (macro); None where a
        class has no images, or has all of them.
    ece: expected calibration error (`noisewise.evaluate.calibration`).
    f1_per_class, sensitivity_per_class: C values; None for a class without images. Sensitivity is recall.
    confusion: C x C counts; rows are true classes, columns predicted ones.
    """

    f1: float
    accuracy: float
    balanced_accuracy: float
    auroc: float | None
    ece: float
    f1_per_class: list[float | None]
    sensitivity_per_class: list[float | None]
    confusion: list[list[int]]


def score(probabilities: np.ndarray, labels: np.ndarray) -> Scores:
    """Score predictions against true labels.

    A class that no image has is left out of the averages: it has no recall, so neither an F1. An image predicted
    as such a class still counts against its own class. A class that has images but is never predicted scores 0.
    Where two classes share an image's highest probability, the first is predicted.

    Args:
        probabilities: float [n, C], n >= 1; any scores that rank classes do, they need not sum to 1, but `ece` then
            means nothing.
        labels: int [n], in [0, C).

    Raises:
        ValueError: shapes or labels that do not fit together.
        RunError: "nan", for probabilities that are not finite.
    """
    from sklearn.metrics import confusion_matrix, precision_recall_fscore_support, roc_auc_score

    probabilities, labels = np.asarray(probabilities), np.asarray(labels)
    _check(probabilities, labels)
    classes = np.arange(probabilities.shape[1])
    predicted = probabilities.argmax(axis=1)
    _, recall, f1, count = precision_recall_fscore_support(labels, predicted, labels=classes, zero_division=0)
    present = count > 0
    # As 0/1 columns, one a class, sklearn treats two classes like many and asks for no sum of 1.
    auroc = roc_auc_score(labels[:, None] == classes, probabilities) if present.all() and len(classes) > 1 else None
    return Scores(
        f1=float(f1[present].mean()),
        accuracy=float((predicted == labels).mean()),
        balanced_accuracy=float(recall[present].mean()),
        auroc=None if auroc is None else float(auroc),
        ece=calibration_error(probabilities, labels),
        f1_per_class=_where(present, f1),
        sensitivity_per_class=_where(present, recall),
        confusion=confusion_matrix(labels, predicted, labels=classes).tolist(),
    )


def _where(present: np.ndarray, values: np.ndarray) -> list[float | None]:
    """The values of the classes that are present, None for the others."""
    return [float(value) if there else None for value, there in zip(values, present, strict=True)]


def _check(probabilities: np.ndarray, labels: np.ndarray) -> None:
    if probabilities.ndim != 2 or labels.shape != probabilities.shape[:1] or not probabilities.size:
        raise ValueError(
            f"scores need probabilities [n, C] and labels [n] of at least one image: "
            f"got {list(probabilities.shape)} and {list(labels.shape)}."
        )
    if labels.min() < 0 or labels.max() >= probabilities.shape[1]:
        raise ValueError(
            f"labels run from {labels.min()} to {labels.max()}, but there are {probabilities.shape[1]} classes."
        )
    bad = ~np.isfinite(probabilities).all(axis=1)
    if bad.any():
        raise RunError(
            "nan",
            f"the network's output is not finite for {bad.sum()} of {len(bad)} images, first image {bad.argmax()}",
            "Lower the recipe's lr, or set precision=fp32, then submit the grid again.",
        )
