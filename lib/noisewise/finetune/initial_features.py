"""Features of a fine-tuning's images by the encoder that it began from: no label of its own has touched them."""

from __future__ import annotations

import numpy as np
import torch

from noisewise.data.loader import ImageSource
from noisewise.evaluate.features import extract
from noisewise.models.initial import build_encoder
from noisewise.runs.config import Finetune
from noisewise.runs.folder import RunFolder, Settings
from noisewise.train.ranks import Ranks
from noisewise.train.seeds import seed_everything


def initial_features(
    run: Finetune,
    folder: RunFolder,
    settings: Settings,
    source: ImageSource,
    indices: np.ndarray,
    ranks: Ranks,
) -> np.ndarray:
    """Features, float32 [n, d], of samples `indices`, which `source` serves; every rank has all of them."""
    seed_everything("initial weights", run.seed)
    encoder, _ = build_encoder(run, folder, settings)
    encoder = encoder.to(ranks.device, memory_format=torch.channels_last)
    recipe = run.recipe
    return extract(encoder, source, indices, recipe.resolution, run.normalise, recipe.precision, ranks)
