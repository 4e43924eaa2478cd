"""Which epoch's test scores count: the *best* epoch by validation, and the *last* few.

*best* is what somebody gets who has a validation set to stop by; *last* is what training on to the end leaves, after
the network has had time to learn the wrong labels by heart.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any


SCORES = ("f1", "accuracy", "balanced_accuracy", "auroc", "ece")
BY_CLASS = "sensitivity_per_class"


def best_and_last(history: Sequence[Mapping[str, Any]], last_epochs: int = 5) -> dict[str, Any]:
    """The scores that a fine-tuning run reports.

    Args:
        history: one record an epoch, in order, with `epoch`, `val_f1`, and `test_` before each of `SCORES`, of which
            AUROC may be None, and before `BY_CLASS`, a list; other keys are ignored.
        last_epochs: the *last* scores are means over this many final epochs, or over all if there are fewer.

    Returns:
        Each of `SCORES` and `BY_CLASS` with `_best` behind it, at the epoch with the highest validation F1, the first
        of them if several share it; with `_last`, the means, None of what has no value; and `best_epoch`.

    Raises:
        ValueError: no epochs, or `last_epochs` below 1.
    """
    if not history:
        raise ValueError("no epoch was scored, so there is no best and no last one.")
    if last_epochs < 1:
        raise ValueError(f"last_epochs must be at least 1, not {last_epochs}.")
    best = max(history, key=lambda record: record["val_f1"])  # max keeps the first of equals
    last = history[-last_epochs:]
    by_class = zip(*(record[f"test_{BY_CLASS}"] for record in last), strict=True)
    return {
        **{f"{name}_best": best[f"test_{name}"] for name in (*SCORES, BY_CLASS)},
        **{f"{name}_last": _mean([record[f"test_{name}"] for record in last]) for name in SCORES},
        f"{BY_CLASS}_last": [_mean(values) for values in by_class],
        "best_epoch": best["epoch"],
    }


def _mean(values: Sequence[float | None]) -> float | None:
    """The mean; None where a value is."""
    return None if None in values else fmean(values)
