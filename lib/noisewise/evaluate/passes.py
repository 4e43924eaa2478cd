"""A deterministic pass over images: each once, as a whole and unaugmented, shared among the ranks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from noisewise.data.augment import evaluation_view
from noisewise.data.loader import ImageSource
from noisewise.runs.config import Finetune, Normalise
from noisewise.train.precision import autocast
from noisewise.train.ranks import Ranks

BATCH = 256


@dataclass(frozen=True)
class Pass:
    """Passes over images, by sample number of the pack, at a resolution of R pixels."""

    source: ImageSource
    resolution: int
    normalise: Normalise
    precision: str
    ranks: Ranks

    @classmethod
    def of(cls, run: Finetune, source: ImageSource, ranks: Ranks) -> Pass:
        """As the run's network sees images."""
        return cls(source, run.recipe.resolution, run.normalise, run.recipe.precision, ranks)

    @torch.no_grad()
    def over(self, indices: np.ndarray, function: Callable[[Tensor], Tensor], columns: int) -> Tensor:
        """What the function makes of the images, float32 [n, columns], in the order of the indices, on every rank.

        Args:
            indices: int64 [n], served by the source.
            function: normalised images [k, 3, R, R] -> [k, columns]. What it stands on is in evaluation mode, and the
                same on every rank.
        """
        mine = indices[self.ranks.rows(len(indices))]
        steps = [mine[start : start + BATCH] for start in range(0, len(mine), BATCH)]
        parts = [torch.empty(0, columns, device=self.ranks.device)]
        for images in self.source.batches(steps):
            view = evaluation_view(images, self.resolution, self.normalise)
            with autocast(self.precision, self.ranks.device):
                parts.append(function(view).float())
        return self.ranks.gather_rows(torch.cat(parts), len(indices))

    def logits(self, indices: np.ndarray, classes: int, network: nn.Module) -> Tensor:
        """A network's logits of the images, float32 [n, classes]; leaves it in evaluation mode."""
        return self.over(indices, network.eval(), classes)
