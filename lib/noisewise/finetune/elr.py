"""ELR: Early-Learning Regularization Prevents Memorization of Noisy Labels (arXiv 2007.00151).

Early in training a network is right about many labels that are wrong. What it said then is kept: each sample has a
target t, a running average of its predicted probabilities p over the epochs (equation 9), and the loss (equation 6) is

    -log p_y + lambda * log(1 - <p, t>),     t <- beta t + (1 - beta) p

The second term's gradient balances cross-entropy's on labels that contradict the target. As in the authors' code the
target is updated before the loss is taken, and p is kept away from 0 and 1 by 1e-4 in both. Targets are a buffer: they
are saved and resumed. Checked against the formula step by step, by autograd and by hand, and two ranks against one.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from noisewise.finetune.method import FinetuneMethod
from noisewise.runs.methods import ELR
from noisewise.train.method import Batch

LEAST = 1e-4  # probability


class Method(FinetuneMethod):
    """One network and the targets, float32 [train_images, C], the same on every rank."""

    recipe: ELR
    targets: Tensor

    def __init__(self, *parts: Any) -> None:
        super().__init__(*parts)
        self.network = self.new_network()
        self.register_buffer("targets", torch.zeros(len(self.labels), self.classes))

    def forward(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        images, labels = self.view(batch)
        logits = self.network(images).float()
        probabilities = logits.softmax(1).clamp(LEAST, 1 - LEAST)
        self._remember(probabilities, batch)
        agreement = (probabilities * self.targets[batch.index]).sum(1)
        losses = F.cross_entropy(logits, labels, reduction="none") + self.recipe.strength * (1 - agreement).log()
        return batch.mean(losses), {"agreement": batch.mean(agreement.detach())}

    @torch.no_grad()
    def _remember(self, probabilities: Tensor, batch: Batch) -> None:
        """Move the targets of the global batch's samples, on every rank."""
        shares = probabilities / probabilities.sum(1, keepdim=True)
        index = self.ranks.gather_rows(batch.index, batch.total)
        beta = self.recipe.target_momentum
        self.targets[index] = beta * self.targets[index] + (1 - beta) * self.ranks.gather_rows(shares, batch.total)

    def predict(self, images: Tensor) -> Tensor:
        return self.network(images).float().softmax(dim=1)
