"""Rotation, Jigsaw and JigMag against torchvision, slicing by hand and brute force."""

from __future__ import annotations

from dataclasses import replace
from itertools import permutations

import numpy as np
import pytest
import torch
from tests.pretrain.small import make_batch, make_images, make_method, make_recipe, train
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import functional as transforms

from noisewise.data.augment import Augmenter
from noisewise.pretrain import jigmag, jigsaw, rotation
from noisewise.pretrain.permutations import all_orders, distant_orders
from noisewise.runs.config import Invariance, Normalise


def pixels(count=3, size=24):
    return make_images(count, size).permute(0, 3, 1, 2).float() / 255


def test_rotations_are_torchvisions():
    images = pixels()
    turned = rotation.all_turns(images).unflatten(0, (4, 3))
    for turn in range(4):
        for one, other in zip(images, turned[turn], strict=True):
            assert torch.equal(transforms.rotate(one, 90 * turn, InterpolationMode.NEAREST), other)


def test_views_that_would_undo_the_turn_are_left_out():
    recipe = make_recipe("rotation")
    every = Augmenter(recipe.augmentation, Invariance(vflip=True, rotate=180), 24, Normalise())
    assert rotation.upright(every).allowed == Invariance(vflip=False, rotate=30)
    gentle = replace(every, allowed=Invariance(rotate=10))
    assert rotation.upright(gentle) == gentle
    assert make_method("rotation").augment.allowed.vflip is False


@pytest.mark.parametrize("parts", [3, 4])
def test_each_order_chosen_is_as_far_as_any_could_be(parts):
    everything = [np.array(order) for order in permutations(range(parts))]
    assert sorted(map(tuple, all_orders(parts).tolist())) == sorted(map(tuple, everything))
    chosen = distant_orders(len(everything), parts)
    for count in range(1, len(chosen)):
        nearest = [min((order != other).sum() for other in chosen[:count]) for order in everything]
        assert min((chosen[count] != other).sum() for other in chosen[:count]) == max(nearest)


def test_a_thousand_orders_of_nine():
    orders = distant_orders(1000)
    assert orders.shape == (1000, 9) and (np.sort(orders, axis=1) == np.arange(9)).all()
    distances = (orders[:, None] != orders[None]).sum(2) + 9 * np.eye(1000, dtype=int)
    assert distances.min() == 5
    assert np.array_equal(distant_orders(10), orders[:10])
    assert (distances[:10, :10]).min() == 8
    with pytest.raises(ValueError, match="there are 6"):
        distant_orders(7, 3)


@pytest.mark.parametrize(("size", "tile"), [(24, 7), (24, 8), (32, 9), (28, 5)])
def test_tiles_are_slices(size, tile):
    images, cell = pixels(2, size), size // 3
    generator = torch.Generator().manual_seed(size)
    cells = torch.stack([torch.randperm(9, generator=generator) for _ in range(2)])
    offsets = torch.randint(cell - tile + 1, (2, 9, 2), generator=generator)
    offsets[0, 0], offsets[0, 1] = 0, cell - tile  # the extremes
    tiles = jigsaw.cut_tiles(images, cells, offsets, tile).unflatten(0, (2, 9))
    for image in range(2):
        for place in range(9):
            row, column = divmod(int(cells[image, place]), 3)
            down, right = offsets[image, place].tolist()
            top, left = row * cell + down, column * cell + right
            assert row * cell <= top and top + tile <= (row + 1) * cell
            assert torch.equal(tiles[image, place], images[image, :, top : top + tile, left : left + tile])


def test_each_tile_is_normalised_by_itself_and_a_flat_one_is_nought():
    tiles = torch.rand(5, 3, 8, 8)
    tiles[0] = 0.3
    found = jigsaw.normalise_each(tiles)
    assert found[0].abs().max() < 1e-3
    for tile, normalised in zip(tiles[1:], found[1:], strict=True):
        expected = transforms.normalize(tile, tile.mean((1, 2)).tolist(), tile.std((1, 2), correction=0).tolist())
        torch.testing.assert_close(normalised, expected, atol=1e-5, rtol=1e-5)


def test_the_label_says_how_the_tiles_lie():
    """With tiles as large as cells there is no jitter: put back in order, they are the view."""
    method = make_method("jigsaw", tile=8, augmentation={"crop_min": 1.0, "grey_p": 0.0})
    tiles, labels = method.puzzles(make_batch())
    batch = make_batch()
    view = method.augment.view(batch.images, batch.generator, batch.rows, batch.total)
    for image, label in enumerate(labels):
        for place, cell in enumerate(method.orders[label].tolist()):
            row, column = divmod(cell, 3)
            part = view[image : image + 1, :, 8 * row : 8 * row + 8, 8 * column : 8 * column + 8]
            torch.testing.assert_close(tiles[9 * image + place], jigsaw.normalise_each(part)[0])


@pytest.mark.parametrize("size", [32, 64])
def test_magnifications_are_torchvisions(size):
    images = pixels(2, size)
    found = jigmag.magnify(images, 2.0)
    for power in range(4):
        length = size // 2**power
        start = (size - length) // 2
        expected = transforms.resized_crop(
            images, start, start, length, length, [size // 2, size // 2], InterpolationMode.BILINEAR, antialias=True
        )
        torch.testing.assert_close(found[:, power], expected, atol=1e-5, rtol=1e-4)


def test_all_24_mosaics():
    parts = torch.arange(4.0).view(1, 4, 1, 1, 1).expand(24, 4, 3, 2, 2)
    orders = torch.from_numpy(all_orders(4).astype(np.int64))
    laid = jigmag.mosaic(parts, orders)
    for order, image in zip(orders.tolist(), laid, strict=True):
        assert [image[0, 0, 0], image[0, 0, 3], image[0, 3, 0], image[0, 3, 3]] == order
        assert image.unique(return_counts=True)[1].tolist() == [12] * 4


@pytest.mark.parametrize(("name", "chance"), [("rotation", 1 / 4), ("jigsaw", 1 / 10), ("jigmag", 1 / 24)])
def test_a_few_images_are_learnt(name, chance):
    method = make_method(name, weight_decay=0.0, optimiser="adam", augmentation={"crop_min": 1.0, "grey_p": 0.0})
    records = []
    for _ in range(80):
        records += train(method, 1, lr=0.01)
    assert records[-1]["all_loss"] < 0.95 * records[0]["all_loss"]
    assert records[-1]["accuracy"] > 1.3 * chance
