"""Which epoch's test scores count: the *best* epoch by clean validation, and the *last* few.

*best* is what somebody gets who has a clean validation set to stop by; *last* is what training on to the end
leaves, after the network has had time to learn the wrong labels by heart.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any


def best_and_last(history: Sequence[Mapping[str, Any]], last_epochs: int = 5) -> dict[str, Any]:
    """The scores that a fine-tuning run reports.

    Args:
        history: one record an epoch, in order, with `epoch`, `val_f1`, `test_f1`, `test_accuracy`,
            `test_balanced_accuracy` and `test_auroc` (which may be None); other keys are ignored.
        last_epochs: the *last* scores are means over this many final epochs, or over all if there are fewer.

    Returns:
        `f1_best`, `accuracy_best`, `balanced_accuracy_best`, `auroc_best` and `best_epoch`: test scores at the epoch
        with the highest validation F1, the first of them if several share it; `f1_last`, `accuracy_last`: means.

    Raises:
        ValueError: no epochs, or `last_epochs` below 1.
    """
    if not history:
        raise ValueError("no epoch was scored, so there is no best and no last one.")
    if last_epochs < 1:
        raise ValueError(f"last_epochs must be at least 1, not {last_epochs}.")
    best = max(history, key=lambda record: record["val_f1"])  # max keeps the first of equals
    last = history[-last_epochs:]
    return {
        "f1_best": best["test_f1"],
        "accuracy_best": best["test_accuracy"],
        "balanced_accuracy_best": best["test_balanced_accuracy"],
        "auroc_best": best["test_auroc"],
        "f1_last": fmean(record["test_f1"] for record in last),
        "accuracy_last": fmean(record["test_accuracy"] for record in last),
        "best_epoch": best["epoch"],
    }
