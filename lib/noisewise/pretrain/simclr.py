"""SimCLR: A Simple Framework for Contrastive Learning of Visual Representations (arXiv 2002.05709).

Two random views of each image are pulled together and pushed from all other images' views. With z the projections
scaled to unit length and tau the temperature, the loss of view i whose other view is j is (equation 1)

    l(i, j) = -log( exp(z_i . z_j / tau) / sum over k != i of exp(z_i . z_k / tau) )

averaged over all views of the global batch. The defaults are those of the study's public code (arXiv 2401.07990).
The loss is checked against lightly's NTXentLoss, to 1e-5, and a whole step on two ranks against one. Batch
normalisation spans all ranks (section 2.2).
"""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.nn import functional as F

from noisewise.models.heads import mlp
from noisewise.pretrain.method import PretrainMethod
from noisewise.runs.methods import SimCLR
from noisewise.train.method import Batch
from noisewise.train.ranks import gather_with_gradient


def nt_xent(first: Tensor, second: Tensor, temperature: float) -> Tensor:
    """Normalised temperature-scaled cross-entropy over the global batch (equation 1).

    Args:
        first, second: projections [n, d] of the two views of this rank's images; every rank has the same n.
        temperature: tau.

    Returns:
        The mean over this rank's 2n views, against the views of all ranks; its mean over ranks is the global loss.
    """
    mine = F.normalize(torch.cat([first, second]).float(), dim=1)
    everyone = gather_with_gradient(mine)
    count, rank = len(first), dist.get_rank() if dist.is_initialized() else 0
    own = torch.arange(2 * count, device=mine.device) + 2 * count * rank
    partner = own.roll(count)
    with torch.autocast(mine.device.type, enabled=False):  # bfloat16 would cost the gradient two per cent
        similarity = mine @ everyone.T / temperature
    similarity.scatter_(1, own[:, None], -torch.inf)
    return F.cross_entropy(similarity, partner)


class Method(PretrainMethod):
    """The encoder and a two-layer projection head."""

    recipe: SimCLR

    def __init__(self, *parts: Any) -> None:
        super().__init__(*parts)
        recipe = self.recipe
        self.projector = mlp(self.encoder.out_features, recipe.projector_hidden, recipe.projector_out)

    def forward(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        views = [self.augment(batch.images, batch.generator, batch.rows, batch.total) for _ in range(2)]
        first, second = self.projector(self.encoder(torch.cat(views))).chunk(2)
        # Every rank has as many images: the engine gives each an equal part of full batches.
        return nt_xent(first, second, self.recipe.temperature), {}
