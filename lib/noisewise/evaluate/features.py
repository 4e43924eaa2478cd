"""Features of a pack's images by an encoder, and which images an encoder is judged by."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import nn

from noisewise.data.loader import ImageSource
from noisewise.data.pack import Pack
from noisewise.data.subset import training_images
from noisewise.evaluate.passes import Pass
from noisewise.runs.config import Normalise
from noisewise.train.ranks import Ranks

PROBE_IMAGES = 5_000  # of each split at most: classifiers are fitted to them on one core while a GPU waits


def extract(
    encoder: nn.Module,
    source: ImageSource,
    indices: np.ndarray,
    resolution: int,
    normalise: Normalise,
    precision: str,
    ranks: Ranks,
) -> np.ndarray:
    """Features, float32 [n, d], of the pack's samples `indices`; every rank computes a part of them, and has all.

    The encoder is in evaluation mode with the first rank's buffers, and left as it was, mode and buffers too. No
    generator advances.

    Args:
        encoder: images [n, 3, R, R] -> features [n, encoder.out_features], on the ranks' device.
        source: serves at least `indices`.
        resolution: R, pixels. precision: as in recipes.
    """
    with _evaluating(encoder, ranks):
        found = Pass(source, resolution, normalise, precision, ranks).over(indices, encoder, encoder.out_features)
    return found.cpu().numpy()


def probe_images(pack: Pack, fraction: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """The samples that an encoder is judged by: of the fraction's training images, and of the validation images.

    At most PROBE_IMAGES each, int64, ascending; stratified, in the order of `noisewise.data.subset`, so that all runs
    on a dataset are judged by the same images.
    """
    return _first(pack, training_images(pack, fraction)), _first(pack, pack.indices("val"))


def _first(pack: Pack, indices: np.ndarray) -> np.ndarray:
    """The first PROBE_IMAGES of samples when each class gives its own at an even pace, beginning with one each."""
    labels = pack.labels[indices]
    pace = pack.ranks[indices] / np.bincount(labels, minlength=len(pack.classes))[labels]
    return np.sort(indices[np.argsort(pace, kind="stable")[:PROBE_IMAGES]])


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
