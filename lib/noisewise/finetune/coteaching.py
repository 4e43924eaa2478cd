"""Co-teaching: Robust Training of Deep Neural Networks with Extremely Noisy Labels (arXiv 1804.06872).

Two networks see the same batch. Each picks the share R(t) of the batch on which its own loss is smallest, and the
*other* network learns from that pick (algorithm 1). With tau the noise rate and T_k the ramp, in epochs t,

    R(t) = 1 - tau * min(t / T_k, 1)

Networks fit clean labels first, so small losses are likely clean ones; exchanging the picks keeps the two from
confirming their own mistakes. tau is told or estimated (`noisewise.finetune.noise_rate`). Three things differ from the
original code on purpose: each loss is averaged over the pick once (the original divides an average by the count again),
predictions average both networks' probabilities, and R(t) is the paper's, where the code's ramp ends an epoch sooner.
Checked against hand-computed picks and schedules, and two ranks against one.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from noisewise.finetune.method import FinetuneMethod, Look
from noisewise.finetune.noise_rate import estimated_rate, told_rate
from noisewise.runs.methods import CoTeaching
from noisewise.train.method import Batch


def keep_share(epoch: float, rate: float, ramp_epochs: float) -> float:
    """R(t), the share of a batch that is learnt from, in epoch t (whole epochs, from 0)."""
    return 1 - rate * min(math.floor(epoch) / ramp_epochs, 1.0) if ramp_epochs else 1 - rate


def small_loss(losses: Tensor, share: float) -> Tensor:
    """Mask [n] of the `share` of samples with the smallest losses [n]; at least one, ties to the earlier sample."""
    count = max(1, int(share * len(losses) + 1e-9))
    smallest = losses.argsort(stable=True)[:count]
    return torch.zeros_like(losses, dtype=torch.bool).scatter_(0, smallest, True)


class Method(FinetuneMethod):
    """Two networks; what is random in their initial weights is drawn for each.

    estimate: of the noise rate, where it is to be estimated: 0 in the first epoch, then found anew at the start of each
        epoch of the ramp.
    """

    recipe: CoTeaching
    estimate: Tensor

    def __init__(self, *parts: Any) -> None:
        super().__init__(*parts)
        self.first = self.new_network()
        self.second = self.new_network()
        self.told = told_rate(self.recipe.assume_rate, self.noise.rate)
        self.register_buffer("estimate", torch.zeros((), dtype=torch.float64))

    def begin_epoch(self, epoch: int, look: Look) -> None:
        if self.told is None and 1 <= epoch <= max(1, self.recipe.ramp_epochs):
            self.estimate.fill_(estimated_rate([look(self.first), look(self.second)], self.labels))
            self.ranks.same_buffers(self)  # processors may round differently

    @property
    def rate(self) -> float:
        """What the method takes for the noise rate."""
        return float(self.estimate) if self.told is None else self.told

    def findings(self) -> dict[str, Any]:
        return {"assume_rate": self.recipe.assume_rate, "assumed_rate": self.rate}

    def forward(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        images, labels = self.view(batch)
        share = keep_share(batch.epoch, self.rate, self.recipe.ramp_epochs)
        first = F.cross_entropy(self.first(images).float(), labels, reduction="none")
        second = F.cross_entropy(self.second(images).float(), labels, reduction="none")
        loss = self._mean_of_pick(first, second, share, batch) + self._mean_of_pick(second, first, share, batch)
        return loss, {"keep_share": first.new_full((), share)}

    def _mean_of_pick(self, learner: Tensor, teacher: Tensor, share: float, batch: Batch) -> Tensor:
        """The learner's mean loss on the teacher's pick from the global batch."""
        pick = small_loss(self.ranks.gather_rows(teacher, batch.total), share)
        return (learner * pick[batch.rows]).sum() * (batch.world / pick.sum())

    def predict(self, images: Tensor) -> Tensor:
        return (self.first(images).float().softmax(dim=1) + self.second(images).float().softmax(dim=1)) / 2
