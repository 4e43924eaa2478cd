"""DivideMix: Learning with Noisy Labels as Semi-supervised Learning (arXiv 2002.07394).

Two networks are trained by cross-entropy for some epochs. Then, at the start of each epoch, each network's losses on
all training images are split into two heaps (`noisewise.finetune.loss_mixture`), and the *other* network takes the
labels that are clean with a probability w above a threshold for labelled images X, the rest for unlabelled ones U
(algorithm 1). It sees each image of a batch in two views. With p its own mean prediction on both, and q that of both
networks, a label y and a guess become (equations 3 and 4)

    Sharpen(w y + (1 - w) p, T) in X        Sharpen(q, T) in U        Sharpen(p, T)_c = p_c^(1/T) / sum_k p_k^(1/T)

Each view and its target are mixed with another one's of X or U: l x1 + (1 - l) x2, l = max(l', 1 - l'), l' of
Beta(alpha, alpha). With f the prediction on the mixture and t its target, the loss is (equations 9 to 12)

    -mean over X of t . log f  +  lambda_u(epoch) mean over U and classes of (t - f)^2  +  KL(uniform || mean of f)

Predictions average both networks' probabilities.

Other than in the authors' code, on purpose:
- Batches of X are of equal size but for one image. Those of U are as large, or all of U where that is less.
- The network that learns guesses X and U in one pass, so that its batch normalisation sees both at once.
- The ramp of lambda_u goes by the epoch in which both networks are trained, the first in its first steps.
- Losses are never averaged over epochs, as theirs are where the noise rate, which is not known here, is .9.
- Predictions average probabilities, not logits.
- Where no split can be made, all labels count as clean for that epoch, w = 1: losses that are all alike, or fewer
  images in X than two for each rank and part of a batch. An empty U leaves its loss out, and so does a part of a batch
  that has none of X or of U.
What it shares with it: with unequal classes the rare one's labels have larger losses, and more of them are unlabelled.

Checked against hand-computed cases of each function, and two ranks against one.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from noisewise.finetune.loss_mixture import clean_probability
from noisewise.finetune.method import FinetuneMethod, Look
from noisewise.runs.methods import DivideMix
from noisewise.train.method import Batch
from noisewise.train.order import Step, paired_batches
from noisewise.train.ranks import gather_with_gradient

SYMMETRIC = ("none", "symmetric")  # kinds of noise under which no wrong label is likelier than another


def negative_entropy(logits: Tensor) -> Tensor:
    """The confidence penalty of each sample, sum_c p_c log p_c; logits [n, C]; returns [n]."""
    log_p = logits.log_softmax(1)
    return (log_p.exp() * log_p).sum(1)


def co_refine(labels: Tensor, clean: Tensor, predicted: Tensor) -> Tensor:
    """The label as far as it is clean, else what is predicted (equation 3).

    Args:
        labels: int64 [n]. clean: probabilities [n]. predicted: probabilities [n, C].

    Returns:
        [n, C].
    """
    given = F.one_hot(labels, predicted.shape[1])
    return clean[:, None] * given + (1 - clean[:, None]) * predicted


def sharpen(probabilities: Tensor, temperature: float) -> Tensor:
    """Probabilities [n, C] to the power of 1 / temperature, made to sum to one again (equation 4)."""
    return (probabilities.log() / temperature).softmax(1)


def mixing_share(alpha: float, generator: torch.Generator) -> float:
    """max(l, 1 - l), l of Beta(alpha, alpha): the share of a mixture's first part, at least a half."""
    seed = int(torch.randint(2**62, (), generator=generator))
    share = np.random.default_rng(seed).beta(alpha, alpha)
    return float(max(share, 1 - share))


def unlabelled_weight(epoch: float, after: float, ramp_epochs: float, lambda_u: float) -> float:
    """lambda_u(epoch): from 0 at epoch `after` linearly to lambda_u, `ramp_epochs` later."""
    return lambda_u * (min(max((epoch - after) / ramp_epochs, 0.0), 1.0) if ramp_epochs else 1.0)


def away_from_uniform(log_mean: Tensor) -> Tensor:
    """KL(uniform || mean prediction), with the log of that mean's probabilities [C]; 0 where they are equal."""
    return -log_mean.mean() - math.log(len(log_mean))


class Method(FinetuneMethod):
    """Two networks, and what each thinks of the labels.

    clean: probabilities of being clean, float32 [2, train_images]; row k is what network k learns from, so it is what
        the other network thinks.
    """

    recipe: DivideMix
    turns = ("first", "second")
    clean: Tensor

    def __init__(self, *parts: Any) -> None:
        super().__init__(*parts)
        self.first = self.new_network()
        self.second = self.new_network()
        self.register_buffer("clean", torch.ones(2, len(self.labels)))
        asked = self.recipe.confidence_penalty
        self.penalises = asked == "always" or asked == "auto" and self.noise.kind not in SYMMETRIC

    def trained(self, turn: str) -> list[nn.Parameter]:
        return list(getattr(self, turn).parameters())

    def begin_epoch(self, epoch: int, look: Look) -> None:
        if epoch < self.recipe.cross_entropy_epochs:
            return
        for row, judge in enumerate((self.second, self.first)):
            losses = F.cross_entropy(look(judge), self.labels, reduction="none")
            self.clean[row] = torch.from_numpy(self._usable(clean_probability(losses.cpu().numpy())))
        self.ranks.same_buffers(self)  # processors may round differently, and orders must be the same

    def _usable(self, clean: np.ndarray) -> np.ndarray:
        """The probabilities, or all ones where fewer images are labelled than two a rank and part of a batch."""
        labelled = (clean > self.recipe.threshold).sum()
        return clean if labelled >= 2 * self.ranks.world * self.recipe.accumulate else np.ones_like(clean)

    def order(self, epoch: int, seed: int) -> list[Step]:
        """Batches for both networks at first; then the first's, then the second's, by what is clean to each."""
        if epoch < self.recipe.cross_entropy_epochs:
            return super().order(epoch, seed)
        steps = []
        for turn, clean in zip(self.turns, self.clean.cpu().numpy(), strict=True):
            labelled = clean > self.recipe.threshold
            kinds = np.flatnonzero(labelled), np.flatnonzero(~labelled)
            steps += [Step(rows, [turn]) for rows in paired_batches(*kinds, self.recipe.batch, seed, epoch, turn)]
        return steps

    def forward(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        learner, other = (self.first, self.second) if batch.turn == "first" else (self.second, self.first)
        if batch.epoch < self.recipe.cross_entropy_epochs:
            return self._learn_labels(learner, batch), {}
        return self._learn_mixtures(learner, other, self.clean[self.turns.index(batch.turn)], batch)

    def _learn_labels(self, learner: nn.Module, batch: Batch) -> Tensor:
        images, labels = self.view(batch)
        logits = learner(images).float()
        losses = F.cross_entropy(logits, labels, reduction="none")
        return batch.mean(losses + negative_entropy(logits) if self.penalises else losses)

    def _learn_mixtures(
        self, learner: nn.Module, other: nn.Module, clean: Tensor, batch: Batch
    ) -> tuple[Tensor, dict[str, Tensor]]:
        recipe = self.recipe
        mixed, targets, labelled, counts = self._mix(*self._targets(learner, other, clean, batch), clean, batch)
        log_p = learner(mixed).float().log_softmax(1)
        surprise, distance = -(targets * log_p).sum(1), (targets - log_p.exp()).square().mean(1)
        of_labelled = (surprise * labelled).sum() * (batch.world / counts[0].clamp(min=1))
        of_unlabelled = (distance * ~labelled).sum() * (batch.world / counts[1].clamp(min=1))
        weight = unlabelled_weight(batch.epoch, recipe.cross_entropy_epochs, recipe.ramp_epochs, recipe.lambda_u)
        log_sum = gather_with_gradient(log_p.logsumexp(0)[None]).logsumexp(0)  # of every rank's predictions
        loss = of_labelled + weight * of_unlabelled + away_from_uniform(log_sum - counts.sum().log())
        named = {"labelled_loss": of_labelled, "unlabelled_loss": of_unlabelled}
        share = (clean > recipe.threshold).float().mean()
        return loss, {**{name: value.detach() for name, value in named.items()}, "labelled_share": share}

    @torch.no_grad()
    def _targets(
        self, learner: nn.Module, other: nn.Module, clean: Tensor, batch: Batch
    ) -> tuple[list[Tensor], Tensor]:
        """Two views of this rank's images, and what they are to be learnt as, [n, C]."""
        views = [self.augment(batch.images, batch.generator, batch.rows, batch.total) for _ in range(2)]
        unlabelled = clean[batch.index] <= self.recipe.threshold
        own = sum(learner(view).float().softmax(1) for view in views)
        other.eval()
        others = sum(other(view[unlabelled]).float().softmax(1) for view in views)
        other.train()
        targets = co_refine(self.labels[batch.index], clean[batch.index], own / 2)
        targets[unlabelled] = (own[unlabelled] + others) / 4
        return views, sharpen(targets, self.recipe.temperature)

    @torch.no_grad()
    def _mix(
        self, views: list[Tensor], targets: Tensor, clean: Tensor, batch: Batch
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Mixtures of the global batch's views, shared out evenly among the ranks.

        Returns:
            This rank's mixtures [k, 3, R, R], their targets [k, C], whether the first part of each is labelled [k],
            and how many on all ranks are labelled and not [2]. Where the unlabelled ones have no weight, there are
            none: they are mixed in only.
        """
        images = torch.cat([self.ranks.gather_rows(view, batch.total) for view in views])
        targets = self.ranks.gather_rows(targets, batch.total).repeat(2, 1)
        index = self.ranks.gather_rows(batch.index, batch.total)
        labelled = (clean[index] > self.recipe.threshold).repeat(2)
        partners = torch.randperm(len(images), generator=batch.generator).to(images.device)
        share = mixing_share(self.recipe.alpha, batch.generator)
        firsts = torch.arange(len(images), device=images.device) if self.recipe.lambda_u else labelled.nonzero()[:, 0]
        counts = torch.stack([labelled[firsts].sum(), (~labelled[firsts]).sum()])
        mine = firsts[self.ranks.rows(len(firsts))]
        mixed = share * images[mine] + (1 - share) * images[partners[mine]]
        wanted = share * targets[mine] + (1 - share) * targets[partners[mine]]
        return mixed.contiguous(memory_format=torch.channels_last), wanted, labelled[mine], counts

    def predict(self, images: Tensor) -> Tensor:
        return (self.first(images).float().softmax(dim=1) + self.second(images).float().softmax(dim=1)) / 2
