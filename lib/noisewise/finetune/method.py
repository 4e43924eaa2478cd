"""What a noisy-label method is to its engine."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

from noisewise.data.augment import Augmenter
from noisewise.runs.config import Noise
from noisewise.runs.recipe import Recipe
from noisewise.train.method import Batch, Method
from noisewise.train.order import Step, even_batches
from noisewise.train.ranks import Ranks

# A network's logits of all training images, float32 [train_images, C], in their order, the same on every rank.
Look = Callable[[nn.Module], Tensor]


class FinetuneMethod(Method):
    """A method that learns a classifier from labels of which some are wrong.

    Each method's file defines its `Method` as a subclass of this one.

    Args:
        recipe: the method's own dataclass.
        network: makes a classifier from the run's initial weights: images [n, 3, R, R] -> logits [n, classes]. Each
            call draws what is random anew, so a method that wants two networks calls `new_network` twice.
        augment: makes random views of uint8 images.
        labels: int64 [train_images], the noisy training labels, by position in the training set.
        classes: how many there are.
        noise: its kind, and as its rate the share of the training labels that is wrong (0 where nobody knows it).
        ranks: this process among its fellows.
    """

    def __init__(
        self,
        recipe: Recipe,
        network: Callable[[], nn.Module],
        augment: Augmenter,
        labels: Tensor,
        classes: int,
        noise: Noise,
        ranks: Ranks,
    ) -> None:
        super().__init__()
        self.recipe = recipe
        self.new_network = network
        self.augment = augment
        self.classes = classes
        self.noise = noise
        self.ranks = ranks
        self.labels = labels.to(ranks.device)  # no buffer: checkpoints need not hold what the pack's folder has

    def view(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """One random view of the batch's images, float [n, 3, R, R], and their noisy labels, int64 [n]."""
        return self.augment(batch.images, batch.generator, batch.rows, batch.total), self.labels[batch.index]

    def begin_epoch(self, epoch: int, look: Look) -> None:
        """Called on every rank before an epoch's first step, in evaluation mode; not on resuming in its middle.

        What it finds out must outlive the step in buffers, and be the same on every rank. A `look` costs a pass over
        all training images, without augmentation.
        """

    def order(self, epoch: int, seed: int) -> list[Step]:
        """The epoch's global batches: a function of the arguments and of buffers, the same on every rank."""
        batches = even_batches(len(self.labels), self.recipe.batch, seed, epoch)
        return [Step(rows, self.turns) for rows in batches]

    def findings(self) -> dict[str, Any]:
        """What the result is to say of the method itself, when training is over: plain values by name."""
        return {}

    def predict(self, images: Tensor) -> Tensor:
        """Class probabilities [n, classes] of normalised images [n, 3, R, R], in evaluation mode."""
        raise NotImplementedError  # abstract: every method's file has its own
