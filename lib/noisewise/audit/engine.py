"""The audit of a fine-tuning run: how doubtful each of its training labels is, in audit.csv and its result."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from noisewise.audit import probabilities
from noisewise.audit.estimate import estimate_noise
from noisewise.audit.rank import Ranking, rank_labels
from noisewise.audit.table import write_table
from noisewise.data.loader import ImageSource
from noisewise.data.pack import Pack
from noisewise.evaluate.features import extract
from noisewise.models.initial import build_encoder
from noisewise.runs.config import Finetune
from noisewise.runs.folder import RunFolder, Settings
from noisewise.train.ranks import Ranks
from noisewise.train.seeds import seed_everything


def audit(
    run: Finetune,
    folder: RunFolder,
    settings: Settings,
    pack: Pack,
    source: ImageSource,
    train: np.ndarray,
    ranks: Ranks,
) -> dict[str, Any]:
    """Write `audit.csv` of a run that has left `train_predictions.npz`; returns what goes into `result.json`.

    `noise_rate_estimated` and `transition_estimated`, as `NoiseEstimate`; `suspects`, how many labels are wrong at that
    rate: the first ones of the table. Where some labels are known to be wrong, `audit_average_precision` of finding
    them. All ranks compute features; the first does the rest, and the others get nothing.

    Args:
        source: serves at least `train`, the samples of the training images.

    Raises:
        RunError: data or nan; as `read_network` and `rank_labels`.
    """
    features = initial_features(run, folder, settings, source, train, ranks)
    if not ranks.first:
        return {}
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


def initial_features(
    run: Finetune,
    folder: RunFolder,
    settings: Settings,
    source: ImageSource,
    indices: np.ndarray,
    ranks: Ranks,
) -> np.ndarray:
    """Features, float32 [n, d], of samples by the encoder that the run began from: no label has touched it."""
    seed_everything("initial weights", run.seed)
    encoder, _ = build_encoder(run, folder, settings)
    encoder = encoder.to(ranks.device, memory_format=torch.channels_last)
    recipe = run.recipe
    return extract(encoder, source, indices, recipe.resolution, run.normalise, recipe.precision, ranks)


def average_precision(ranking: Ranking, given: np.ndarray, clean: np.ndarray) -> float:
    """Of finding the labels that are wrong, in [0, 1]: by chance it is their share."""
    from sklearn.metrics import average_precision_score

    return float(average_precision_score(given != clean, ranking.score))
