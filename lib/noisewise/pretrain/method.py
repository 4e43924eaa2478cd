"""What a pretraining method is to its engine."""

from __future__ import annotations

from torch import nn

from noisewise.data.augment import Augmenter
from noisewise.runs.recipe import Recipe
from noisewise.train.method import Method


class PretrainMethod(Method):
    """A method that learns `encoder` from images alone; the encoder is what is handed on.

    Each method's file defines its `Method` as a subclass of this one.

    Args:
        recipe: the method's own dataclass.
        encoder: a backbone, images [n, 3, R, R] -> features [n, encoder.out_features].
        augment: makes random views of uint8 images.
    """

    def __init__(self, recipe: Recipe, encoder: nn.Module, augment: Augmenter) -> None:
        super().__init__()
        self.recipe = recipe
        self.encoder = encoder
        self.augment = augment
