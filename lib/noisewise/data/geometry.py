"""Cropping, resizing, flipping and rotating whole batches, as matrix products.

Resampling along one axis is a linear map, so a crop that is flipped, resized and antialiased is two matrices an
image: one for its rows, one for its columns. Batched, that is exact where bilinear point sampling aliases, and
many times faster than `grid_sample` on a CPU. Only rotation, which no such pair can express, samples points.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

RATIO = (3 / 4, 4 / 3)
ATTEMPTS = 10


def random_boxes(
    area: Tensor, ratio: Tensor, left: Tensor, top: Tensor, size: int, keep: tuple[float, float]
) -> Tensor:
    """The boxes of a random resized crop, drawn as torchvision draws them.

    The share of the area is uniform in `keep`, the ratio of width to height log-uniform in [3/4, 4/3]. The first of
    ten attempts that lies inside the image counts; the whole image where none does.

    Args:
        area, ratio: uniform numbers in [0, 1), an attempt a row, [10, n].
        left, top: uniform numbers in [0, 1), [n].
        size: side of the images, pixels.
        keep: smallest and largest share of the area.

    Returns:
        left, top, width and height in whole pixels, [4, n] float32.
    """
    pixels = size**2 * (keep[0] + (keep[1] - keep[0]) * area)
    low, high = (math.log(edge) for edge in RATIO)
    aspect = torch.exp(low + (high - low) * ratio)
    width = (pixels * aspect).sqrt().round()
    height = (pixels / aspect).sqrt().round()
    fits = (width > 0) & (width <= size) & (height > 0) & (height <= size)
    rank = torch.arange(len(fits), 0, -1)[:, None]  # distinct numbers: argmax alone may return any of equals
    first = (fits * rank).argmax(0, keepdim=True)
    none = ~fits.any(0)
    width = width.gather(0, first)[0].masked_fill(none, size)
    height = height.gather(0, first)[0].masked_fill(none, size)
    left, top = (left * (size - width + 1)).floor(), (top * (size - height + 1)).floor()
    return torch.stack([left, top, width, height])


def whole_boxes(n: int, size: int) -> Tensor:
    """Boxes that hold the whole image, [4, n]."""
    return torch.tensor([[0.0], [0.0], [size], [size]]).expand(4, n)


def crop(images: Tensor, boxes: Tensor, resolution: int, flips: Tensor | None = None) -> Tensor:
    """Cut a box out of each image and resize it, antialiased, as torchvision's `resized_crop` does.

    Args:
        images: uint8 [n, S, S, 3].
        boxes: left, top, width, height in pixels, float32 [4, n].
        resolution: side R of what comes out.
        flips: whether to mirror left-right and top-bottom, bool [2, n].

    Returns:
        float32 [n, 3, R, R] in [0, 1].
    """
    n, size = len(images), images.shape[1]
    left, top, width, height = boxes
    across, down = (None, None) if flips is None else flips
    rows = interpolation(top, height, size, resolution, down)
    columns = interpolation(left, width, size, resolution, across).div_(255)
    view = torch.bmm(rows, images.reshape(n, size, size * 3).float())
    view = view.view(n, resolution, size, 3).permute(0, 3, 1, 2).reshape(n, 3 * resolution, size)
    return torch.bmm(view, columns.transpose(1, 2)).view(n, 3, resolution, resolution)


def interpolation(start: Tensor, length: Tensor, size: int, resolution: int, flip: Tensor | None = None) -> Tensor:
    """Weights that resample [start, start + length) of an axis of `size` pixels to `resolution` pixels.

    Bilinear (a triangle) when it enlarges; when it shrinks the triangle widens by as much, which antialiases. Nothing
    outside the interval is looked at. `start`, `length` and `flip` (bool) are [n]; returns [n, resolution, size].
    """
    scale = (length / resolution)[:, None, None]
    target = torch.arange(resolution, device=start.device)[:, None] + 0.5
    if flip is not None:
        target = torch.where(flip[:, None, None], resolution - target, target)
    source = torch.arange(size, device=start.device) + 0.5
    start, end = start[:, None, None], (start + length)[:, None, None]
    distance = (source - (start + target * scale)).abs_()
    weights = torch.sub(scale.clamp(min=1), distance, out=distance).clamp_(min=0)
    weights *= (start < source) & (source < end)
    return weights.div_(weights.sum(-1, keepdim=True))


def rotated_crop(images: Tensor, boxes: Tensor, angles: Tensor, resolution: int, flips: Tensor | None = None) -> Tensor:
    """As `crop`, of images turned anticlockwise about the box's centre by `angles` (degrees, [n]).

    One bilinear sampling. Where it shrinks by a factor s, the image is blurred first by a Gaussian of variance
    (s^2 - 1) / 6, what separates the triangles of half-widths s and 1: this antialiases, and vanishes at s = 1.
    What the rotation brings in from outside the image is its reflection: black corners would give the angle away.
    """
    size = images.shape[1]
    left, top, width, height = boxes
    turn = torch.deg2rad(angles)
    cos, sin = turn.cos(), turn.sin()
    across, down = width / resolution, height / resolution
    mirror = torch.ones(2, len(images), device=images.device) if flips is None else 1 - 2.0 * flips
    # grid_sample's coordinates run from -1 to 1 over the source, and over the view
    wide, high = width / size * mirror[0], height / size * mirror[1]
    centre_x, centre_y = (2 * left + width) / size - 1, (2 * top + height) / size - 1
    theta = torch.stack([wide * cos, -high * sin, centre_x, wide * sin, high * cos, centre_y], dim=1).view(-1, 2, 3)
    source = images.permute(0, 3, 1, 2).float().div_(255)
    shrink_x = (across * cos) ** 2 + (down * sin) ** 2
    shrink_y = (across * sin) ** 2 + (down * cos) ** 2
    source = blur(source, *(((shrink - 1).clamp(min=0) / 6).sqrt() for shrink in (shrink_x, shrink_y)))
    grid = functional.affine_grid(theta, [len(images), 3, resolution, resolution], align_corners=False)
    return functional.grid_sample(source, grid, mode="bilinear", padding_mode="reflection", align_corners=False)


def blur(view: Tensor, across: Tensor, down: Tensor | None = None) -> Tensor:
    """Gaussian blur of [n, 3, S, S], each image with its own sigma (pixels, [n]; 0 leaves the image alone).

    `down` is the sigma of columns where it is not that of rows.
    """
    n, channels, size, _ = view.shape
    columns = _gaussian(across, size)
    rows = columns if down is None else _gaussian(down, size)
    view = torch.bmm(view.reshape(n, channels * size, size), columns.transpose(1, 2))
    return torch.matmul(rows[:, None], view.view(n, channels, size, size))


def _gaussian(sigma: Tensor, size: int) -> Tensor:
    """Gaussian weights between all pairs of `size` pixels, rows summing to one at the borders too, [n, size, size].

    Never cut off. Kernels of a tenth of the image, as is usual, hold all but 1e-7 of it.
    """
    place = torch.arange(size, device=sigma.device)
    kernel = torch.exp(place.square() * (-0.5 / sigma.clamp(min=1e-3).square())[:, None])
    kernel *= kernel > 1e-12  # denormal numbers would slow the products down
    weights = kernel[:, (place[:, None] - place).abs()]
    return weights.div_(weights.sum(-1, keepdim=True))
