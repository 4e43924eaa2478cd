"""Images in a few numbers: the colours of each on a coarse grid."""

from __future__ import annotations

from contextlib import closing

import numpy as np
import torch
from torch.nn.functional import adaptive_avg_pool2d

from noisewise.data.loader import open_images
from noisewise.data.pack import Pack

GRID = 8
BATCH = 256


def thumbnails(pack: Pack, indices: np.ndarray) -> np.ndarray:
    """Mean colours in [0, 1] of GRID x GRID parts of the pack's samples `indices`: float32 [n, 3 * GRID^2]."""
    steps = [indices[start : start + BATCH] for start in range(0, len(indices), BATCH)]
    with closing(open_images(pack, torch.device("cpu"), indices)) as source:
        parts = [adaptive_avg_pool2d(batch.permute(0, 3, 1, 2).float() / 255, GRID) for batch in source.batches(steps)]
    return torch.cat(parts).flatten(1).numpy()
