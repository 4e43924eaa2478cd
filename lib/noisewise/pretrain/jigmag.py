"""JigMag, of Self-Path: Self-supervision for Classification of Histology Images (arXiv 2008.05571).

The middle of a view at four magnifications, zoom^0 to zoom^3, each half as wide as the view, is laid 2 x 2 in one of
the 24 orders. A linear classifier on the encoder's features of the whole mosaic says which; the loss is the
cross-entropy over the orders. `accuracy` is 1/24 by chance.

The original takes its four images from a slide that was scanned at those magnifications, so each is as sharp as the
others. Here all are of one photograph, for want of more: beyond the magnification at which a view has a pixel for each
of the mosaic's, they are only enlarged, and blurred by it. So sharpness alone may tell the order, and an accuracy near
1 does not say that the encoder knows things by their size.

The parts are antialiased where they are shrunk and bilinear where they are enlarged, as torchvision's, which they are
checked against; also two ranks against one.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from noisewise.data.geometry import interpolation
from noisewise.pretrain.method import PretrainMethod, classify
from noisewise.pretrain.permutations import all_orders
from noisewise.runs.methods import JigMag
from noisewise.runs.puzzles import PARTS
from noisewise.train.method import Batch


def magnify(view: Tensor, zoom: float) -> Tensor:
    """The middle of views [n, 3, R, R], R even, at each magnification, the weakest first: [n, 4, 3, R/2, R/2]."""
    size = view.shape[-1]
    return torch.stack([middle(view, size / zoom**power, size // 2) for power in range(PARTS)], dim=1)


def middle(view: Tensor, length: float, side: int) -> Tensor:
    """The square of `length` pixels (not always whole) in the middle of [n, 3, R, R], resized to `side` pixels."""
    start, end = ((view.shape[-1] + sign * length) / 2 for sign in (-1, 1))
    first, last = math.floor(start), math.ceil(end)
    window = view[..., first:last, first:last]
    # new_full, not tensor: that would copy to the device, and wait for it
    weights = interpolation(view.new_full((1,), start - first), view.new_full((1,), length), last - first, side)[0]
    return weights @ (window @ weights.T)


def mosaic(parts: Tensor, orders: Tensor) -> Tensor:
    """Lay parts [n, 4, 3, h, h] out 2 x 2, part `orders[i, k]` of image i (int64 [n, 4]) in place k: [n, 3, 2h, 2h].

    The places are in reading order.
    """
    n, _, channels, side, _ = parts.shape
    laid = parts[torch.arange(n, device=parts.device)[:, None], orders].view(n, 2, 2, channels, side, side)
    return laid.permute(0, 3, 1, 4, 2, 5).reshape(n, channels, 2 * side, 2 * side)


class Method(PretrainMethod):
    """The encoder and a linear classifier of the 24 orders."""

    recipe: JigMag

    def __init__(self, *parts: Any) -> None:
        super().__init__(*parts)
        orders = torch.from_numpy(all_orders(PARTS).astype(np.int64))
        self.register_buffer("orders", orders, persistent=False)
        self.classifier = nn.Linear(self.encoder.out_features, len(orders))

    def forward(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        mosaics, labels = self.puzzles(batch)
        logits = self.classifier(self.encoder(mosaics))
        return classify(logits, labels)

    def puzzles(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Normalised mosaics [n, 3, R, R] of the batch's images, and the numbers of their orders [n]."""
        view = self.augment.view(batch.images, batch.generator, batch.rows, batch.total)
        labels = batch.integers(len(self.orders))
        with torch.autocast(view.device.type, enabled=False):  # bfloat16 would leave 8 bits of each weight
            parts = magnify(view, self.recipe.zoom)
        return self.augment.normalised(mosaic(parts, self.orders[labels])), labels
