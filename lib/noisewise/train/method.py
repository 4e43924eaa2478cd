"""What a method is to the training loop: a module that turns a batch into a loss."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from noisewise.train.ranks import mean_over_batch


@dataclass
class Batch:
    """One rank's rows of a global batch.

    images: uint8 [n, S, S, 3] on the device. index: int64 [n], positions in the training set, on the device.
    rows: which rows of the global batch of `total` images these are. generator: the step's own, the same on every
    rank, so that draws for all `total` images agree. epoch: how far the training is, in epochs with fractions.
    """

    images: Tensor
    index: Tensor
    rows: slice
    total: int
    world: int
    generator: torch.Generator
    epoch: float

    def mean(self, per_sample: Tensor) -> Tensor:
        """Mean over the global batch of values [n] of this rank's rows, to be averaged over ranks by DDP."""
        return mean_over_batch(per_sample, self.total, self.world)


class Method(nn.Module):
    """A training method. All its state lives in parameters and buffers, so it is saved and resumed whole.

    `forward(batch)` returns the loss, a scalar whose mean over ranks is the global batch's, and statistics to be
    logged: detached scalars, averaged over ranks and over the epoch.
    """

    def forward(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        raise NotImplementedError  # abstract: every method's file has its own

    def after_step(self) -> None:
        """Called after each optimiser step: momentum encoders, queues."""
