"""Barlow Twins: Self-Supervised Learning via Redundancy Reduction (arXiv 2103.03230).

The projections of two views of the same images are to agree in every dimension, and no dimension is to repeat another.
With C the correlation, over the batch, of the first view's dimensions i with the second's j (equations 1 and 2),

    l = sum over i of (1 - C_ii)^2 + lambda * sum over i != j of C_ij^2

The two views are made unlike each other (appendix A): `recipe.augmentation` makes the first, `recipe.second` the
second. As in the authors' code the projector has no biases, each view goes through the network by itself, and batch
normalisation and C span all ranks. One thing differs on purpose: theirs sums C over ranks behind autograd's back, which
leaves 1 / ranks of the gradient (LARS undoes that for weights, not for biases and norms); here it is whole.

Checked against lightly's BarlowTwinsLoss and a float64 formula, loss and gradient, to 1e-5; two ranks against one; the
optimiser's steps against the authors' update rule.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from noisewise.models.heads import mlp
from noisewise.pretrain.method import PretrainMethod
from noisewise.runs.methods import BarlowTwins
from noisewise.train.method import Batch
from noisewise.train.ranks import gather_with_gradient


def barlow_loss(first: Tensor, second: Tensor, redundancy: float) -> tuple[Tensor, Tensor, Tensor]:
    """The loss of equation 1 over the global batch.

    Args:
        first, second: projections [n, d] of the two views of this rank's images; every rank has the same n. There are
            two rows at least over all ranks, and d is 2 at least.
        redundancy: lambda.

    Returns:
        The loss, the same on every rank; the mean of C's diagonal; the root mean square of the rest of C.
    """
    # Every rank correlates all rows: to send them is 2 N d numbers, to add up the ranks' correlations d^2, far more.
    everyone = gather_with_gradient(torch.cat([first, second], dim=1).float())
    with torch.autocast(everyone.device.type, enabled=False):  # bfloat16 has 8 bits for what is near 1
        one, two = F.batch_norm(everyone, None, None, training=True).chunk(2, dim=1)
        correlation = one.T @ (two / len(two))
    diagonal = correlation.diagonal()
    # All squares less the diagonal's: to pick the others out would be to copy them, 67 million for the paper's d. And
    # row by row: one norm over all of them is a per cent off on a CPU.
    others = torch.linalg.vector_norm(correlation, dim=1).square().sum() - diagonal.square().sum()
    loss = (1 - diagonal).square().sum() + redundancy * others
    size = len(diagonal)
    root_mean_square = (others.detach().clamp(min=0) / (size * (size - 1))).sqrt()
    return loss, diagonal.detach().mean(), root_mean_square


class Method(PretrainMethod):
    """The encoder and a projector of three linear layers."""

    recipe: BarlowTwins

    def __init__(self, *parts: Any) -> None:
        super().__init__(*parts)
        recipe = self.recipe
        widths = (recipe.projector_hidden, recipe.projector_hidden, recipe.projector_out)
        self.projector = mlp(self.encoder.out_features, *widths, norm=True, last_bias=False)
        self.augment_second = replace(self.augment, config=recipe.second)

    def forward(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        first, second = (
            self.projector(self.encoder(augment(batch.images, batch.generator, batch.rows, batch.total)))
            for augment in (self.augment, self.augment_second)
        )
        loss, on_diagonal, off_diagonal = barlow_loss(first, second, self.recipe.redundancy)
        return loss, {"on_diagonal": on_diagonal, "off_diagonal": off_diagonal}
