"""How far a classifier has learnt the wrong labels that it was trained on, and how well it gives them away.

A wrong label is memorised if the classifier predicts it for its own training image (as in arXiv 2007.00151). Where it
predicts something else than the given label, it says that the label is wrong: precision and recall of that, as of any
detector, with wrong labels as the positives. That recall is 1 less the share that is memorised.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Memorisation:
    """Fractions in [0, 1].

    memorised: share of the wrong labels that are predicted; None where there is no wrong label.
    wrong_found_precision: share of wrong labels among those that are contradicted; None where none is.
    wrong_found_recall: share of the wrong labels that are contradicted; None where there is no wrong label.
    """

    memorised: float | None
    wrong_found_precision: float | None
    wrong_found_recall: float | None


def memorisation(probabilities: np.ndarray, given: np.ndarray, clean: np.ndarray | None) -> Memorisation:
    """Of class probabilities [n, C] of training images, their given labels int [n] and their true ones int [n].

    clean: None where nobody knows them; then nothing is known of these scores either.
    """
    if clean is None:
        return Memorisation(None, None, None)
    wrong, contradicted = given != clean, probabilities.argmax(axis=1) != given
    found = int((wrong & contradicted).sum())
    recall = found / int(wrong.sum()) if wrong.any() else None
    return Memorisation(
        memorised=None if recall is None else 1 - recall,
        wrong_found_precision=found / int(contradicted.sum()) if contradicted.any() else None,
        wrong_found_recall=recall,
    )
