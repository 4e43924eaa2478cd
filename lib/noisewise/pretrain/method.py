"""What a pretraining method is to its engine."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from noisewise.data.augment import Augmenter
from noisewise.runs.recipe import Recipe
from noisewise.train.method import Method
from noisewise.train.ranks import Ranks


class PretrainMethod(Method):
    """A method that learns `encoder` from images alone; the encoder is what is handed on.

    Each method's file defines its `Method` as a subclass of this one.

    Args:
        recipe: the method's own dataclass.
        encoder: a backbone, images [n, 3, R, R] -> features [n, encoder.out_features].
        augment: makes random views of uint8 images.
        ranks: this process among its fellows.
        train_images: how many images there are to learn from.
    """

    def __init__(self, recipe: Recipe, encoder: nn.Module, augment: Augmenter, ranks: Ranks, train_images: int) -> None:
        super().__init__()
        self.recipe = recipe
        self.encoder = encoder
        self.augment = augment
        self.ranks = ranks
        self.train_images = train_images

    def pictures(self, images: Tensor) -> dict[str, Tensor]:
        """What a person should see of the method as it is, by name: float32 [k, 3, H, W] in [0, 1], laid in rows of 8.

        Asked for in evaluation mode and without gradients, on the first rank alone, each time the encoder is probed.

        Args:
            images: a few of the validation images, always the same: uint8 [k, S, S, 3] on the device.
        """
        return {}


def classify(logits: Tensor, labels: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
    """Cross-entropy of logits [n, C] and labels int64 [n], both averaged over rows, and the `accuracy`.

    Every rank has as many images of a batch: a rank's mean is its share of the batch's.
    """
    return F.cross_entropy(logits.float(), labels), {"accuracy": (logits.argmax(1) == labels).float().mean()}
