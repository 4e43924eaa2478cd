"""Random views of images: batched, on the images' device, reproducible from one CPU generator.

Of every image, in this order: crop and resize, flip, rotate (in one resampling), colour jitter, grey, blur, solarise,
normalise. The probabilities and ranges are a recipe's (`Augmentation`); a dataset's `Invariance` has the last word.

Measured, SimCLR's views of 96 px images at 64 px, batches of 256, AMD EPYC, torch 2.14: 3,000 views/s on one core and
4,100 on two, where torchvision's transforms make 800 on one core from PIL images of that size. Rotation needs point
sampling: 1,700 and 2,800.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from noisewise.data import colour, geometry
from noisewise.runs.config import Invariance, Normalise
from noisewise.runs.recipe import Augmentation

BLUR_SIGMA = (0.1, 2.0)
BLUR_AT = 224  # pixels: the resolution that those sigmas are for
CPU_BLOCK = 32  # images: a few stay in a CPU's cache, which makes it half as fast again

# Uniform numbers an image. All are drawn whatever is switched on, so switching one thing on changes no other.
_DRAWS = {
    "area": geometry.ATTEMPTS,
    "ratio": geometry.ATTEMPTS,
    "place": 2,
    "flip": 2,
    "angle": 1,
    "jitter": 1,
    "strength": 4,
    "grey": 1,
    "blur": 1,
    "sigma": 1,
    "solarise": 1,
}


@dataclass(frozen=True)
class Augmenter:
    """Makes random views of a batch.

    Args:
        config: what to do, how much and how often.
        allowed: what this kind of image survives; the rest is not done.
        resolution: side R of the views, pixels.
        normalise: mean and standard deviation of what goes into the network.
    """

    config: Augmentation
    allowed: Invariance
    resolution: int
    normalise: Normalise

    def __call__(
        self, images: Tensor, generator: torch.Generator, rows: slice | None = None, total: int | None = None
    ) -> Tensor:
        """One view of each image, normalised; as `view` otherwise."""
        return self._views(images, generator, rows, total, self.normalised)

    def view(
        self, images: Tensor, generator: torch.Generator, rows: slice | None = None, total: int | None = None
    ) -> Tensor:
        """One view of each image, in [0, 1].

        Args:
            images: uint8 [n, S, S, 3] on any device; left as they are.
            generator: on the CPU; advances by the same amount whatever is switched on.
            rows, total: where these images stand in a batch of `total` over all ranks. Each rank draws for the whole
                batch, so that several ranks see what one would.

        Returns:
            float32 [n, 3, R, R].
        """
        return self._views(images, generator, rows, total, lambda view: view)

    def normalised(self, view: Tensor) -> Tensor:
        """[n, 3, H, W] in [0, 1] as the network takes it: mean and deviation taken out, channels last in memory."""
        return _normalised(view, self.normalise)

    @torch.no_grad()
    def _views(
        self,
        images: Tensor,
        generator: torch.Generator,
        rows: slice | None,
        total: int | None,
        finish: Callable[[Tensor], Tensor],
    ) -> Tensor:
        draws = _draw(generator, len(images) if total is None else total, rows)
        if len(draws["angle"]) != len(images):
            raise ValueError(f"{len(images)} images, but random numbers for {len(draws['angle'])}")
        step = max(1, len(images)) if images.is_cuda else CPU_BLOCK
        with torch.autocast(images.device.type, enabled=False):  # bfloat16 would leave 8 bits of each weight
            blocks = [slice(start, start + step) for start in range(0, max(1, len(images)), step)]
            return torch.cat([finish(self._view(images[block], _part(draws, block))) for block in blocks])

    def _view(self, images: Tensor, draws: dict[str, Tensor]) -> Tensor:
        view = self._reshape(images, draws)
        if self.allowed.colour:
            view = self._recolour(view, draws)
            view = self._blur(view, draws)
            view = self._solarise(view, draws)
        return view

    def _reshape(self, images: Tensor, draws: dict[str, Tensor]) -> Tensor:
        size, keep = images.shape[1], (self.config.crop_min, self.config.crop_max)
        if keep == (1.0, 1.0):
            boxes = geometry.whole_boxes(len(images), size)
        else:
            boxes = geometry.random_boxes(draws["area"], draws["ratio"], *draws["place"], size, keep)
        allowed = torch.tensor([[self.allowed.hflip], [self.allowed.vflip]])
        flips = _to((draws["flip"] < 0.5) & allowed, images)
        boxes = _to(boxes, images)
        if self.allowed.rotate == 0:
            return geometry.crop(images, boxes, self.resolution, flips)
        angles = _to(self.allowed.rotate * (2 * draws["angle"] - 1), images)
        return geometry.rotated_crop(images, boxes, angles, self.resolution, flips)

    def _recolour(self, view: Tensor, draws: dict[str, Tensor]) -> Tensor:
        config = self.config
        widths = torch.tensor([config.brightness, config.contrast, config.saturation, config.hue])
        if config.jitter_p == 0:
            widths.zero_()
        if not widths.any() and config.grey_p == 0:
            return view
        jitter = (draws["jitter"] < config.jitter_p) * widths[:, None] * (2 * draws["strength"] - 1)
        brightness, contrast, saturation = (1 + jitter[:3]).clamp_(min=0)
        grey = draws["grey"] < config.grey_p
        mix = colour.mixing(saturation.masked_fill(grey, 0))
        view = colour.adjust(view, _to(brightness, view), _to(contrast, view), _to(mix, view))
        return colour.shift_hue(view, _to(jitter[3], view)) if widths[3] else view

    def _blur(self, view: Tensor, draws: dict[str, Tensor]) -> Tensor:
        if self.config.blur_p == 0:
            return view
        low, high = (sigma * self.resolution / BLUR_AT for sigma in BLUR_SIGMA)
        chosen = (draws["blur"] < self.config.blur_p).nonzero()[:, 0]
        sigma = _to((low + (high - low) * draws["sigma"])[chosen], view)
        if len(chosen) == len(view):
            return geometry.blur(view, sigma)
        chosen = _to(chosen, view)
        return view.index_copy_(0, chosen, geometry.blur(view[chosen], sigma))

    def _solarise(self, view: Tensor, draws: dict[str, Tensor]) -> Tensor:
        if self.config.solarise_p == 0:
            return view
        return colour.solarise(view, _to(draws["solarise"] < self.config.solarise_p, view))


@torch.no_grad()
def evaluation_view(images: Tensor, resolution: int, normalise: Normalise) -> Tensor:
    """The whole of each image, resized (antialiased) where the size differs, nothing random.

    uint8 [n, S, S, 3] to normalised float32 [n, 3, resolution, resolution], channels last in memory.
    """
    with torch.autocast(images.device.type, enabled=False):
        if images.shape[1] == resolution:
            view = images.permute(0, 3, 1, 2).float().div_(255)
        else:
            boxes = _to(geometry.whole_boxes(len(images), images.shape[1]), images)
            view = geometry.crop(images, boxes, resolution)
        return _normalised(view, normalise)


def _draw(generator: torch.Generator, total: int, rows: slice | None) -> dict[str, Tensor]:
    """Uniform numbers in [0, 1) by name, [draws, n], or [n] for a single one."""
    table = torch.rand(sum(_DRAWS.values()), total, generator=generator)[:, rows or slice(None)]
    parts = table.split(list(_DRAWS.values()))
    return {name: part[0] if len(part) == 1 else part for name, part in zip(_DRAWS, parts, strict=True)}


def _part(draws: dict[str, Tensor], images: slice) -> dict[str, Tensor]:
    return {name: values[..., images] for name, values in draws.items()}


def _normalised(view: Tensor, normalise: Normalise) -> Tensor:
    mean, std = _moments(tuple(normalise.mean), tuple(normalise.std), view.device)
    return view.contiguous(memory_format=torch.channels_last).sub(mean).div_(std)


@lru_cache(maxsize=16)
def _moments(mean: tuple[float, ...], std: tuple[float, ...], device: torch.device) -> tuple[Tensor, Tensor]:
    """Kept on the device: copying them anew would make the host wait in every step.

    Ordinary tensors even if an evaluation asks first, or autograd would refuse them to a method that needs gradients.
    """
    with torch.inference_mode(False):
        return tuple(torch.tensor(values, device=device).view(1, 3, 1, 1) for values in (mean, std))


def _to(values: Tensor, like: Tensor) -> Tensor:
    """Parameters to the images' device, without waiting for it."""
    return values.to(like.device, non_blocking=True)
