"""Generalized Cross Entropy Loss for Training Deep Neural Networks with Noisy Labels (arXiv 1805.07836).

With p_y the probability that the network gives to the label, the loss of a sample is (equation 6)

    (1 - p_y^q) / q

which is cross-entropy as q goes to 0 and the mean absolute error, which wrong labels mislead least, at q = 1. Its
gradient is cross-entropy's times p_y^q: labels that the network finds unlikely are learnt from less. The truncated
variant, which leaves out the least likely, is not here. Checked against the formula in float64 and both limits, and
two ranks against one.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor

from noisewise.finetune.method import FinetuneMethod
from noisewise.runs.methods import GCE
from noisewise.train.method import Batch


def generalised_cross_entropy(logits: Tensor, labels: Tensor, q: float) -> Tensor:
    """The loss of each sample; logits [n, C], labels int64 [n], q in (0, 1]; returns [n]."""
    log_p = logits.float().log_softmax(1).gather(1, labels[:, None])[:, 0]
    return -(q * log_p).expm1() / q  # 1 - p^q, exact where p is near 1


class Method(FinetuneMethod):
    """One network."""

    recipe: GCE

    def __init__(self, *parts: Any) -> None:
        super().__init__(*parts)
        self.network = self.new_network()

    def forward(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        images, labels = self.view(batch)
        return batch.mean(generalised_cross_entropy(self.network(images), labels, self.recipe.q)), {}

    def predict(self, images: Tensor) -> Tensor:
        return self.network(images).float().softmax(dim=1)
