"""The noise rate that a method is told: the true one, one that somebody assumes, or an estimate from the training.

The estimate is rough, and too low where noise is strong. Measured after Co-teaching's ramp of 5 epochs, the estimates
fed back, with a small convolutional network, one seed, symmetric noise: .28 for a true .21 and .34 for .51 on 3,000
images of Fashion-MNIST; .19 for .21 and .17 for .52 on 2,000 of elpv. The share of labels that the networks contradict,
which was tried instead, is .34, .59, .37 and .63: it counts their own errors, too, and what Co-teaching learnt with
it was worse (best macro-F1 .82 for .83 at the first, .54 for .68 at the last).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from noisewise.errors import RunError
from noisewise.finetune.loss_mixture import clean_probability

LEAST = 1e-12  # probability


def told_rate(assume_rate: float | str, realised: float) -> float | None:
    """The rate that the recipe's `assume_rate` and the labels' realised rate say; None: it is to be estimated.

    Raises:
        RunError: config, if `assume_rate` is neither "known" nor "estimated" nor a rate in [0, 1).
    """
    if assume_rate in ("known", "estimated"):
        return realised if assume_rate == "known" else None
    if isinstance(assume_rate, str) or not 0 <= assume_rate < 1:
        raise RunError(
            "config",
            f"assume_rate is {assume_rate!r}",
            "Set assume_rate to known, estimated, or a rate of at least 0 and below 1, and submit the grid again.",
        )
    return float(assume_rate)


def estimated_rate(logits: Sequence[Tensor], labels: Tensor) -> float:
    """The share of wrong labels by the losses of networks that have begun to learn.

    It is the mean, over all labels, of the probability of not being clean (`noisewise.finetune.loss_mixture`). A loss
    is -log of the probability that the networks give to the label on average.

    Args:
        logits: of each network, [n, C], on all training images. labels: int64 [n].

    Raises:
        RunError: nan, if a loss is not finite.
    """
    probabilities = torch.stack([each.double().softmax(1) for each in logits]).mean(0)
    losses = -probabilities.gather(1, labels[:, None])[:, 0].clamp(min=LEAST).log()
    return float(1 - clean_probability(losses.cpu().numpy()).mean())
