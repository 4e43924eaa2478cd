"""The encoder's scores while it pretrains, from the clean labels that the pretraining itself never sees."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import numpy as np
import torch
from torch import nn

from noisewise.data.augment import evaluation_view
from noisewise.data.loader import ImageSource
from noisewise.data.pack import Pack
from noisewise.data.subset import training_images
from noisewise.errors import RunError
from noisewise.evaluate.probes import knn_f1, linear_f1, rankme, spread
from noisewise.runs.config import Pretrain
from noisewise.train.precision import autocast
from noisewise.train.ranks import Ranks

PROBE_IMAGES = 5_000  # of each split at most: the classifiers are fitted on one core while a GPU waits
COLLAPSED = 0.005  # embedding_std; networks fresh from their initial weights, on images much alike, have over 0.01
BATCH = 256
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
        with _evaluating(self.encoder, self.ranks):
            features = self.features(np.concatenate([self.train, self.val]))
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

    @torch.inference_mode()
    def features(self, indices: np.ndarray) -> np.ndarray:
        """Features, float32 [n, d], of the pack's samples `indices`, by the encoder as it is."""
        mine = indices[self.ranks.rows(len(indices))]
        steps = [mine[start : start + BATCH] for start in range(0, len(mine), BATCH)]
        parts = [torch.empty(0, self.encoder.out_features, device=self.ranks.device)]
        for images in self.source.batches(steps):
            view = evaluation_view(images, self.run.recipe.resolution, self.run.normalise)
            with autocast(self.run.recipe.precision, self.ranks.device):
                parts.append(self.encoder(view).float())
        return self.ranks.gather_rows(torch.cat(parts), len(indices)).cpu().numpy()


def probe_images(pack: Pack, fraction: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """The samples that an encoder is probed with: of the fraction's training images, and of the validation images.

    At most PROBE_IMAGES each, int64, ascending; stratified, in the order of `noisewise.data.subset`, so that all runs
    on a dataset are probed with the same images.
    """
    return _first(pack, training_images(pack, fraction)), _first(pack, pack.indices("val"))


def _first(pack: Pack, indices: np.ndarray) -> np.ndarray:
    """The first PROBE_IMAGES of samples when each class gives its own at an even pace, beginning with one each."""
    labels = pack.labels[indices]
    pace = pack.ranks[indices] / np.bincount(labels, minlength=len(pack.classes))[labels]
    return np.sort(indices[np.argsort(pace, kind="stable")[:PROBE_IMAGES]])


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


@contextmanager
def _evaluating(encoder: nn.Module, ranks: Ranks) -> Iterator[None]:
    """The encoder in evaluation mode with the first rank's buffers; afterwards in its own mode with its own."""
    modes = [(module, module.training) for module in encoder.modules()]
    own = [buffer.clone() for buffer in encoder.buffers()]
    encoder.eval()
    ranks.same_buffers(encoder)
    try:
        yield
    finally:
        for module, mode in modes:
            module.training = mode
        with torch.no_grad():
            for buffer, kept in zip(encoder.buffers(), own, strict=True):
                buffer.copy_(kept)
