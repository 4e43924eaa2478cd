"""The audit of a fine-tuning run: how doubtful each of its training labels is, in audit.csv and its result."""

from __future__ import annotations

from typing import Any

import numpy as np

from noisewise.audit import probabilities
from noisewise.audit.estimate import estimate_noise
from noisewise.audit.rank import Ranking, rank_labels
from noisewise.audit.table import write_table
from noisewise.data.pack import Pack
from noisewise.runs.folder import RunFolder


def audit(folder: RunFolder, pack: Pack, features: np.ndarray) -> dict[str, Any]:
    """Write `audit.csv` of a run that has left `train_predictions.npz`; returns what goes into `result.json`.

    `noise_rate_estimated` and `transition_estimated`, as `NoiseEstimate`; `suspects`, how many labels are wrong by that
    estimate. Where some labels are known to be wrong, `audit_average_precision` of finding them.

    Args:
        features: [n, d], of the training images in that file's order, by an encoder that has seen none of the labels.

    Raises:
        RunError: data or nan; as `read_network` and `rank_labels`.
    """
    kept = probabilities.read_network(folder)
    given, classes = kept["given"], len(pack.classes)
    crossed = probabilities.cross_validated(features, given, classes)
    judged = probabilities.combine(kept["best"], crossed)
    ranking, noise = rank_labels(judged, given), estimate_noise(judged, given)
    clean = kept["clean"] if bool(kept["known"]) and (kept["clean"] != given).any() else None
    write_table(folder.audit, ranking, kept["index"], given, clean, pack.names(), pack.classes)
    found = {
        "noise_rate_estimated": noise.rate,
        "transition_estimated": noise.transition.tolist(),
        "suspects": round(noise.rate * len(given)),
    }
    return found if clean is None else {**found, "audit_average_precision": average_precision(ranking, given, clean)}


def average_precision(ranking: Ranking, given: np.ndarray, clean: np.ndarray) -> float:
    """Of finding the labels that are wrong, in [0, 1]: by chance it is their share."""
    from sklearn.metrics import average_precision_score

    return float(average_precision_score(given != clean, ranking.score))
