"""What a method is to the training loop: a module that turns a batch into a loss."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from noisewise.train.ranks import mean_over_batch


@dataclass
class Batch:
    """One rank's rows of a global batch.

    images: uint8 [n, S, S, 3] on the device. index: int64 [n], positions in the training set, on the device.
    rows: which rows of the global batch of `total` images these are. generator: the step's own, the same on every
    rank, so that draws for all `total` images agree. epoch: how far the training is, in epochs with fractions.
    turn: whose step this is (`Method.turns`).
    """

    images: Tensor
    index: Tensor
    rows: slice
    total: int
    world: int
    generator: torch.Generator
    epoch: float
    turn: str = "all"

    def mean(self, per_sample: Tensor) -> Tensor:
        """Mean over the global batch of values [n] of this rank's rows, to be averaged over ranks by DDP."""
        return mean_over_batch(per_sample, self.total, self.world)

    def normal(self, *size: int) -> Tensor:
        """Standard normal numbers [n, *size] on the device, the same for an image on any number of ranks."""
        return self._mine(torch.randn(self.total, *size, generator=self.generator))

    def uniform(self, *size: int) -> Tensor:
        """Uniform numbers in [0, 1), [n, *size], likewise."""
        return self._mine(torch.rand(self.total, *size, generator=self.generator))

    def integers(self, below: int, *size: int) -> Tensor:
        """Whole numbers from 0 up to `below`, exclusive, int64 [n, *size], likewise."""
        return self._mine(torch.randint(below, (self.total, *size), generator=self.generator))

    def _mine(self, everyones: Tensor) -> Tensor:
        return everyones[self.rows].to(self.images.device, non_blocking=True)


class Method(nn.Module):
    """A training method. All its state lives in parameters and buffers, so it is saved and resumed whole.

    `forward(batch)` returns the loss, a scalar whose mean over ranks is the global batch's, and statistics to be
    logged: detached scalars, averaged over ranks and over the epoch.

    turns: the optimiser steps that a batch is good for, by name, in order; a name may come twice. Each name has an
        optimiser of its own over `trained(name)`, and in its turn no other parameters want gradients. An order of the
        method's own may give each batch to some of them only (`noisewise.train.order.Step`).
    global_norm: whether batch normalisation spans the rows of all ranks.
    """

    turns: Sequence[str] = ("all",)
    global_norm: ClassVar[bool] = True

    def trained(self, turn: str) -> list[nn.Parameter]:
        """What the optimiser of this turn moves: all that wants gradients; a method with turns says otherwise."""
        return [parameter for parameter in self.parameters() if parameter.requires_grad]

    def forward(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        raise NotImplementedError  # abstract: every method's file has its own

    def after_step(self) -> None:
        """Called when a batch's steps are done: momentum encoders, queues."""
