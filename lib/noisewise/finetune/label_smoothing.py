"""Label smoothing (arXiv 1512.00567, section 7), which mitigates label noise (arXiv 2003.02819).

The label counts for 1 - a + a/C and every other class for a/C: with C classes and probabilities p, the loss is

    -(1 - a) log p_y - a/C * sum over classes of log p_k

averaged over the global batch. The loss is torch's own; checked with two ranks against one.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor
from torch.nn import functional as F

from noisewise.finetune.method import FinetuneMethod
from noisewise.runs.methods import LabelSmoothing
from noisewise.train.method import Batch


class Method(FinetuneMethod):
    """One network."""

    recipe: LabelSmoothing

    def __init__(self, *parts: Any) -> None:
        super().__init__(*parts)
        self.network = self.new_network()

    def forward(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        images, labels = self.view(batch)
        logits, smoothing = self.network(images).float(), self.recipe.smoothing
        return batch.mean(F.cross_entropy(logits, labels, reduction="none", label_smoothing=smoothing)), {}

    def predict(self, images: Tensor) -> Tensor:
        return self.network(images).float().softmax(dim=1)
