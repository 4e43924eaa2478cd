"""Cross-entropy on the labels as they are: the baseline that every noisy-label method has to beat.

For logits f(x) and the given label y, the loss is -log softmax(f(x))_y, averaged over the global batch.
Checked with two ranks against one.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor
from torch.nn import functional as F

from noisewise.finetune.method import FinetuneMethod
from noisewise.train.method import Batch


class Method(FinetuneMethod):
    """One network, all labels believed."""

    def __init__(self, *parts: Any) -> None:
        super().__init__(*parts)
        self.network = self.new_network()

    def forward(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        images, labels = self.view(batch)
        return batch.mean(F.cross_entropy(self.network(images).float(), labels, reduction="none")), {}

    def predict(self, images: Tensor) -> Tensor:
        return self.network(images).float().softmax(dim=1)
