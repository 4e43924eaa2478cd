"""Jigsaw: Unsupervised Learning of Visual Representations by Solving Jigsaw Puzzles (arXiv 1603.09246).

A view is cut into 3 x 3 cells and a smaller tile is taken from each. The tiles are shown in one of a fixed set of
orders; each goes through the encoder by itself, and two linear layers on all nine features, side by side as shown,
say which order it was. The loss is the cross-entropy over the orders. `accuracy` is 1 / orders by chance.

What would answer without looking at what the tiles show is taken away (section 4.3): edges that continue, by the place
of each tile in its cell, which is random; brightness and contrast, by each tile's own mean and deviation in every
channel; colours that lenses fringe, by making 30 % of the images grey (the recipe's `grey_p`). Where a dataset allows
no changes of colour, none is grey.

Unlike the paper's, the encoder is the run's backbone and the head's first layer sees its pooled features; the orders
are chosen by their smallest distance (`noisewise.pretrain.permutations`). Checked against tiles sliced one by one and
normalised by torchvision, and two ranks against one.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from noisewise.models.heads import mlp
from noisewise.pretrain.method import PretrainMethod, classify
from noisewise.pretrain.permutations import distant_orders
from noisewise.runs.methods import Jigsaw
from noisewise.runs.puzzles import SIDE, tile_side
from noisewise.train.method import Batch

CELLS = SIDE**2
LEAST_DEVIATION = 1 / 255  # a grey level: less is rounding, which must not be blown up to look like an image


def cut_tiles(view: Tensor, cells: Tensor, offsets: Tensor, tile: int) -> Tensor:
    """One tile from each of the named cells.

    Args:
        view: [n, 3, R, R]. The cells are its first 3 * (R // 3) rows and columns, numbered from 0 in reading order.
        cells: whence the tiles are, in the order in which they are shown, int64 [n, 9].
        offsets: rows and columns between a cell's upper left corner and its tile's, from 0 to R // 3 - tile,
            int64 [n, 9, 2].
        tile: side of the tiles, pixels.

    Returns:
        [9n, 3, tile, tile], channels last in memory: the first image's tiles, the second's, ...
    """
    n, _, size, _ = view.shape
    corners = torch.stack([cells // SIDE, cells % SIDE], dim=2) * (size // SIDE) + offsets
    along = torch.arange(tile, device=view.device)
    rows, columns = (corners[..., None] + along).flatten(0, 1).unbind(1)
    image = torch.arange(n, device=view.device).repeat_interleave(CELLS)
    tiles = view.permute(0, 2, 3, 1)[image[:, None, None], rows[:, :, None], columns[:, None, :]]
    return tiles.permute(0, 3, 1, 2)


def normalise_each(tiles: Tensor) -> Tensor:
    """Tiles [m, 3, t, t] with mean 0 and deviation 1 in every channel of each; a flat one becomes nought."""
    deviation, mean = torch.std_mean(tiles, dim=(2, 3), correction=0, keepdim=True)
    return (tiles - mean).div_(deviation.clamp_(min=LEAST_DEVIATION))


class Method(PretrainMethod):
    """The encoder, for one tile at a time, and two layers that see all nine."""

    recipe: Jigsaw

    def __init__(self, *parts: Any) -> None:
        super().__init__(*parts)
        recipe = self.recipe
        self.tile = tile_side(recipe)
        self.head = mlp(CELLS * self.encoder.out_features, recipe.hidden, recipe.permutations)
        # Saved with the head: its outputs mean these orders.
        self.register_buffer("orders", torch.from_numpy(distant_orders(recipe.permutations).astype(np.int64)))

    def forward(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        tiles, labels = self.puzzles(batch)
        logits = self.head(self.encoder(tiles).unflatten(0, (-1, CELLS)).flatten(1))
        return classify(logits, labels)

    def puzzles(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Normalised tiles [9n, 3, t, t] of the batch's n images as they are shown, and the orders' numbers [n]."""
        view = self.augment.view(batch.images, batch.generator, batch.rows, batch.total)
        labels = batch.integers(len(self.orders))
        offsets = batch.integers(view.shape[2] // SIDE - self.tile + 1, CELLS, 2)
        return normalise_each(cut_tiles(view, self.orders[labels], offsets, self.tile)), labels
