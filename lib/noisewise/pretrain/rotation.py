"""Rotation: Unsupervised Representation Learning by Predicting Image Rotations (arXiv 1803.07728).

Every image of a batch goes through the encoder four times, turned anticlockwise by 0, 90, 180 and 270 degrees, and a
linear classifier F on the features says which. With g(x, k) the image x turned by 90 k degrees, the loss is the mean
over images of (equation 2)

    -1/4 * sum over k of log F_k(g(x, k))

Turning is exact: pixels change places and none is interpolated, so no trace of it gives the answer away (section 3.1).
`accuracy` is .25 by chance. Where it stays there, the images have no upright (cells under a microscope, say) and there
is nothing here to learn from them.

A random view must leave the turn that was made true. A mirror image left-right does; one top-bottom as well makes a
turn by 180 degrees, so none is made, whatever the dataset's labels would survive. Rotations of 45 degrees or more
would let two of the four meet; ours end at 30, which leaves as much between neighbours.

Unlike the paper's, the encoder's pooled features are classified, not a middle layer's. Checked against torchvision's
rotation of each image, and two ranks against one.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from noisewise.data.augment import Augmenter
from noisewise.pretrain.method import PretrainMethod, classify
from noisewise.train.method import Batch

TURNS = 4
MOST_TILT = 30.0  # degrees


def upright(augment: Augmenter) -> Augmenter:
    """The same random views, but for those that could be taken for another turn."""
    allowed = augment.allowed
    return replace(augment, allowed=replace(allowed, vflip=False, rotate=min(allowed.rotate, MOST_TILT)))


def all_turns(images: Tensor) -> Tensor:
    """[n, 3, R, R] to [4n, 3, R, R], channels last in memory: all of them turned by 0, then all by 90 degrees, ..."""
    n = len(images)
    turned = images.new_empty(TURNS * n, *images.shape[1:]).contiguous(memory_format=torch.channels_last)
    for turn in range(TURNS):
        turned[turn * n : (turn + 1) * n] = torch.rot90(images, turn, (2, 3))
    return turned


class Method(PretrainMethod):
    """The encoder and a linear classifier of four turns."""

    def __init__(self, *parts: Any) -> None:
        super().__init__(*parts)
        self.augment = upright(self.augment)
        self.classifier = nn.Linear(self.encoder.out_features, TURNS)

    def forward(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        views = self.augment(batch.images, batch.generator, batch.rows, batch.total)
        labels = torch.arange(TURNS, device=views.device).repeat_interleave(len(views))
        logits = self.classifier(self.encoder(all_turns(views)))
        return classify(logits, labels)
