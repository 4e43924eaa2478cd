"""Crops, flips, rotation and blur against torchvision's."""

from __future__ import annotations

import pytest
import torch
from torchvision.transforms import InterpolationMode, RandomResizedCrop
from torchvision.transforms.v2 import functional as peer

from noisewise.data import geometry


def images(n: int = 4, size: int = 48, seed: int = 0) -> torch.Tensor:
    """Blobs with sharp grain on them: what aliases shows."""
    generator = torch.Generator().manual_seed(seed)
    blobs = peer.resize(torch.rand(n, 3, 6, 6, generator=generator), [size, size], antialias=True)
    grain = torch.rand(n, 3, size, size, generator=generator)
    return ((0.7 * blobs + 0.3 * grain) * 255).to(torch.uint8).permute(0, 2, 3, 1).contiguous()


def as_float(batch: torch.Tensor) -> torch.Tensor:
    return batch.permute(0, 3, 1, 2).float() / 255


def boxes(*rows: tuple[int, int, int, int]) -> torch.Tensor:
    return torch.tensor(rows, dtype=torch.float32).T


@pytest.mark.parametrize("resolution", [7, 16, 33, 48, 100])
def test_crop_is_torchvisions_antialiased_crop(resolution):
    """To a thousandth of a grey level, shrinking and enlarging."""
    batch = images()
    box = boxes((0, 0, 48, 48), (5, 9, 20, 27), (30, 1, 18, 13), (47, 47, 1, 1))
    ours = geometry.crop(batch, box, resolution)
    for i, (left, top, width, height) in enumerate(box.T.int().tolist()):
        theirs = peer.resized_crop(
            as_float(batch)[i], top, left, height, width, [resolution, resolution], antialias=True
        )
        torch.testing.assert_close(ours[i], theirs, atol=4e-6, rtol=0)


def test_a_grid_finer_than_the_view_shrinks_to_grey():
    """Point sampling would keep the checks; antialiasing averages them."""
    checks = ((torch.arange(64)[:, None] + torch.arange(64)) % 2 * 255).to(torch.uint8)
    view = geometry.crop(checks[None, ..., None].expand(1, 64, 64, 3), boxes((0, 0, 64, 64)), 16)
    assert (view - 0.5).abs().max() < 0.02


def test_flips_are_exact():
    batch = images()
    box = boxes(*[(4, 2, 40, 30)] * 4)
    plain = geometry.crop(batch, box, 16)
    flips = torch.tensor([[False, True, False, True], [False, False, True, True]])
    flipped = geometry.crop(batch, box, 16, flips)
    expected = torch.stack([plain[0], plain[1].flip(2), plain[2].flip(1), plain[3].flip(1, 2)])
    torch.testing.assert_close(flipped, expected, atol=2e-6, rtol=0)
    whole = geometry.crop(batch, geometry.whole_boxes(4, 48), 48, torch.ones(2, 4, dtype=torch.bool))
    torch.testing.assert_close(whole, as_float(batch).flip(2, 3), atol=1e-7, rtol=0)


@pytest.mark.parametrize("angle", [-30.0, -5.0, 0.0, 17.0, 90.0])
def test_rotation_is_torchvisions(angle):
    batch = images()
    ours = geometry.rotated_crop(batch, geometry.whole_boxes(4, 48), torch.full((4,), angle), 48)
    theirs = peer.rotate(as_float(batch), angle, InterpolationMode.BILINEAR)
    middle = (..., slice(12, 36), slice(12, 36))  # corners: they fill in black, we reflect
    torch.testing.assert_close(ours[middle], theirs[middle], atol=1e-4, rtol=0)


def test_rotated_crop_by_nothing_is_near_the_antialiased_crop():
    batch = images(size=96)
    box = boxes((0, 0, 96, 96), (10, 20, 70, 60), (3, 3, 40, 50), (0, 0, 20, 20))
    flips = torch.tensor([[True, False, True, False], [False, True, True, False]])
    ours = geometry.rotated_crop(batch, box, torch.zeros(4), 32, flips)
    assert (ours - geometry.crop(batch, box, 32, flips)).abs().mean() < 0.012


def test_rotation_shows_no_black_corners():
    white = torch.full((1, 32, 32, 3), 255, dtype=torch.uint8)
    view = geometry.rotated_crop(white, geometry.whole_boxes(1, 32), torch.tensor([45.0]), 32)
    torch.testing.assert_close(view, torch.ones_like(view))


def test_boxes_are_distributed_as_torchvisions():
    torch.manual_seed(0)
    n, size, keep = 4000, 64, (0.2, 1.0)
    square = torch.empty(3, size, size)
    theirs = torch.tensor([RandomResizedCrop.get_params(square, keep, geometry.RATIO) for _ in range(n)]).float()
    ours = geometry.random_boxes(torch.rand(10, n), torch.rand(10, n), *torch.rand(2, n), size, keep)
    left, top, width, height = ours
    assert torch.equal(ours, ours.round())
    assert left.min() >= 0 and top.min() >= 0 and (left + width).max() <= size and (top + height).max() <= size
    quantiles = torch.linspace(0.05, 0.95, 19)
    for a, b in [
        (width * height, theirs[:, 2] * theirs[:, 3]),
        (width / height, theirs[:, 3] / theirs[:, 2]),
        (left, theirs[:, 1]),
        (top, theirs[:, 0]),
    ]:
        spread = b.max() - b.min()
        assert ((a.quantile(quantiles) - b.quantile(quantiles)).abs() / spread).max() < 0.04


def test_boxes_fall_back_to_the_whole_image():
    ours = geometry.random_boxes(torch.ones(10, 2), torch.zeros(10, 2), *torch.rand(2, 2), 32, (1.0, 1.0))
    assert torch.equal(ours, geometry.whole_boxes(2, 32))


@pytest.mark.parametrize("size, kernel, sigmas", [(64, 7, [0.03, 0.2, 0.57]), (224, 23, [0.1, 1.0, 2.0])])
def test_blur_is_torchvisions(size, kernel, sigmas):
    view = as_float(images(3, size))
    ours = geometry.blur(view, torch.tensor(sigmas))
    inside = (..., slice(kernel, -kernel), slice(kernel, -kernel))
    for i, sigma in enumerate(sigmas):
        theirs = peer.gaussian_blur(view[i], [kernel, kernel], [sigma, sigma])
        torch.testing.assert_close(ours[i][inside], theirs[inside], atol=3e-6, rtol=0)
        assert (ours[i] - theirs).abs().max() < 0.15  # borders: they mirror the image, we weigh what is there


def test_blur_by_nothing_changes_nothing():
    view = as_float(images(2))
    assert torch.equal(geometry.blur(view, torch.zeros(2)), view)
