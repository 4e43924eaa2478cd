"""MoCo v2: Improved Baselines with Momentum Contrastive Learning (arXiv 2003.04297), on MoCo (arXiv 1911.05722).

A query, the projection q of one view of an image, is to be nearest to its key k+, the other view's, among the keys of
many earlier images, which wait in a queue. With all of unit length and tau the temperature (1911.05722, equation 1),

    l = -log( exp(q . k+ / tau) / (exp(q . k+ / tau) + sum over the queue of exp(q . k / tau)) )

Keys come from a slow copy of the network (equation 2): after each step, theta_k <- m theta_k + (1 - m) theta_q. As in
the authors' code its batch normalisation keeps running statistics of its own.

A query and its key whose batches were normalised alike would find each other by that (1911.05722, section 3.3). So
batch normalisation is each rank's own, and keys are computed on images dealt out to the ranks anew. One rank alone has
nothing to deal out: there queries and keys share their batch, as in the authors' code on one GPU.

Checked against lightly: the loss with its gradient, the momentum update, the queue, all to 1e-5; and two ranks against
one without batch normalisation, and with it against keys computed by hand on the dealt images.
"""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.optim.swa_utils import get_ema_multi_avg_fn

from noisewise.errors import RunError
from noisewise.models.heads import mlp
from noisewise.pretrain.method import PretrainMethod
from noisewise.runs.methods import MoCoV2
from noisewise.train.method import Batch

PAPER_QUEUE = 65_536


def info_nce(queries: Tensor, keys: Tensor, queue: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
    """Cross-entropy of telling each query's key from those in the queue (1911.05722, equation 1).

    Args:
        queries: projections [n, d], of any length.
        keys: [n, d], of unit length, row by row what the queries are to find.
        queue: [K, d], of unit length.
        temperature: tau.

    Returns:
        The mean loss of these n queries, and the share of them that are nearer to their key than to all of the queue.
    """
    queries = F.normalize(queries.float(), dim=1)
    with torch.autocast(queries.device.type, enabled=False):  # bfloat16 tells no two near keys apart
        positive = (queries * keys).sum(1, keepdim=True)
        logits = torch.cat([positive, queries @ queue.T], dim=1) / temperature
    found = logits[:, 0] > logits[:, 1:].amax(1)  # strictly: where all are alike, nothing is found
    return F.cross_entropy(logits, torch.zeros_like(found, dtype=torch.long)), found.detach().float().mean()


def queue_size(asked: int | str, batch: int, train_images: int) -> int:
    """How many keys the queue holds.

    "auto" is the largest multiple of the batch that is at most the paper's 65,536 and at most half of the images, and
    one batch at least. A long queue holds keys of the queries' own images, from their last use, and pushes those
    apart. Every epoch goes through all N images in a new order, so an image's next use comes from 1 to 2N - 1 images
    after the last, N on average; the number is N times the sum of two uniform ones, and a queue of s N keys still
    holds the image's last key with probability s^2 / 2 for s <= 1: one image in eight at s = 1/2, one in two at s = 1,
    all from s = 2 on.

    Raises:
        RunError: config, if more keys are asked for than there are images.
    """
    if asked == "auto":
        return max(1, min(PAPER_QUEUE, train_images // 2) // batch) * batch
    if int(asked) > train_images:
        raise RunError(
            "config",
            f"a queue of {asked} keys is longer than the {train_images} training images: most queries would be pushed "
            "from their own image's earlier key",
            f"Set recipe.pretrain.moco_v2.queue to auto, or to a multiple of {batch} that is at most {train_images}, "
            "then submit the grid again.",
        )
    return int(asked)


class Method(PretrainMethod):
    """The query network, its slow copy that makes the keys, and the queue. What is handed on is the query encoder."""

    recipe: MoCoV2
    global_norm = False
    queue: Tensor
    oldest: Tensor

    def __init__(self, *parts: Any) -> None:
        super().__init__(*parts)
        recipe = self.recipe
        self.projector = mlp(self.encoder.out_features, recipe.projector_hidden, recipe.projector_out)
        self.key_encoder = copy.deepcopy(self.encoder).requires_grad_(False)
        self.key_projector = copy.deepcopy(self.projector).requires_grad_(False)
        size = queue_size(recipe.queue, recipe.batch, self.train_images)
        self.register_buffer("queue", F.normalize(torch.randn(size, recipe.projector_out), dim=1))
        self.register_buffer("oldest", torch.zeros((), dtype=torch.long))  # row of the queue that goes next
        self._new_keys: list[Tensor] = []  # of the batch at hand, part by part; none between steps

    def forward(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        first, second = (self.augment(batch.images, batch.generator, batch.rows, batch.total) for _ in range(2))
        keys = self._keys(second, batch)
        self._new_keys.append(keys)
        queries = self.projector(self.encoder(first))
        # Every rank has as many images, so that the mean of the ranks' means is the batch's.
        loss, accuracy = info_nce(queries, keys[batch.rows], self.queue, self.recipe.temperature)
        return loss, {"accuracy": accuracy}

    @torch.no_grad()
    def after_step(self) -> None:
        follow = get_ema_multi_avg_fn(self.recipe.key_momentum)
        for slow, fast in ((self.key_encoder, self.encoder), (self.key_projector, self.projector)):
            follow(list(slow.parameters()), list(fast.parameters()), None)
        self._enqueue(torch.cat(self._new_keys))
        self._new_keys.clear()

    def _enqueue(self, keys: Tensor) -> None:
        """Put keys [n, d] in the places of the n oldest; n is at most the queue's size."""
        places = (self.oldest + torch.arange(len(keys), device=keys.device)) % len(self.queue)
        self.queue[places] = keys
        self.oldest.add_(len(keys)).remainder_(len(self.queue))

    @torch.no_grad()
    def _keys(self, views: Tensor, batch: Batch) -> Tensor:
        """Keys [total, d] of the global batch from this rank's views, each rank computing some of other ranks'."""
        if batch.world == 1:
            return self._project(views)
        dealt = torch.randperm(batch.total, generator=batch.generator).to(views.device)
        everyones = self.ranks.gather_rows(views, batch.total)
        mine = everyones[dealt[batch.rows]].contiguous(memory_format=torch.channels_last)
        return self.ranks.gather_rows(self._project(mine), batch.total)[dealt.argsort()]

    def _project(self, views: Tensor) -> Tensor:
        return F.normalize(self.key_projector(self.key_encoder(views)).float(), dim=1)
