"""The encoder's scores while it pretrains, from the clean labels that the pretraining itself never sees."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import torch
from torch import nn

from noisewise.data.loader import ImageSource
from noisewise.data.pack import Pack
from noisewise.errors import RunError
from noisewise.evaluate.features import extract, probe_images
from noisewise.evaluate.probes import knn_f1, linear_f1, rankme, spread
from noisewise.runs.config import Pretrain
from noisewise.train.ranks import Ranks

COLLAPSED = 0.005  # embedding_std; networks fresh from their initial weights, on images much alike, have over 0.01
PROBES = ("knn_f1", "linear_f1", "rankme", "embedding_std")


class Prober:
    """Scores an encoder: classifiers fitted to features of training images, and scored on validation images.

    Args:
        run: the pretraining; its recipe's resolution and precision, and its `normalise`, hold here too.
        encoder: images [n, 3, R, R] -> features [n, encoder.out_features].
        source: serves at least the images that `probe_images` names.
    """

    def __init__(self, run: Pretrain, encoder: nn.Module, pack: Pack, source: ImageSource, ranks: Ranks) -> None:
        self.run = run
        self.encoder = encoder
        self.pack = pack
        self.source = source
        self.ranks = ranks
        self.train, self.val = probe_images(pack, run.fraction)

    def __call__(self) -> dict[str, float]:
        """The encoder's scores as it is now, the same on every rank; every rank must call this at the same step.

        `knn_f1`, `linear_f1`: macro-F1 on validation images. `rankme`, `embedding_std`: effective rank and spread of
        the training images' features (`noisewise.evaluate.probes`). All are NaN where a feature is not finite.

        The encoder is left as it was, mode and buffers too, and no generator advances.
        """
        recipe, shown = self.run.recipe, np.concatenate([self.train, self.val])
        features = extract(
            self.encoder, self.source, shown, recipe.resolution, self.run.normalise, recipe.precision, self.ranks
        )
        scores = torch.zeros(len(PROBES), dtype=torch.float64)
        if self.ranks.first:
            scores[:] = torch.tensor(self._scores(features))
        shared = self.ranks.sum(scores.to(self.ranks.device))
        return dict(zip(PROBES, shared.tolist(), strict=True))

    def _scores(self, features: np.ndarray) -> list[float]:
        """In the order of `PROBES`."""
        if not np.isfinite(features).all():
            return [math.nan] * len(PROBES)
        train, val = np.split(features, [len(self.train)])
        labels, classes = self.pack.labels, len(self.pack.classes)
        known = (train, labels[self.train], val, labels[self.val], classes)
        return [knn_f1(*known), linear_f1(*known), rankme(train), spread(train)]


def check(values: Mapping[str, float]) -> None:
    """Stop a pretraining that has gone wrong; `values` are those of a `Prober`, so all ranks stop together.

    Raises:
        RunError: "nan", features that are not finite; "collapse", features that are alike for all images.
    """
    found = values["embedding_std"]
    if not math.isfinite(found):
        raise RunError(
            "nan",
            "the encoder's features are not finite",
            "Lower the recipe's lr, or set precision=fp32, then submit the grid again.",
        )
    if found < COLLAPSED:
        raise RunError(
            "collapse",
            f"the encoder has collapsed: it gives all images the same features (embedding_std is {found:.2g}, below "
            f"{COLLAPSED:g}; features that fill their space have 1)",
            "Lower the recipe's lr, raise its batch, or weaken its augmentation (a larger augmentation.crop_min), "
            "then submit the grid again.",
        )
