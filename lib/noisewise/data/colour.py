"""Changes of colour for whole batches of [n, 3, H, W] images in [0, 1], as torchvision's ColorJitter defines them.

It differs in this: the order is always brightness, contrast, saturation, hue, grey (torchvision shuffles the first
four); values are cut to [0, 1] after brightness and after saturation, not in between (contrast and saturation are one
matrix product); images that end in grey skip hue, which would move their luminance a little. Grey stays grey.
"""

from __future__ import annotations

import torch
from torch import Tensor

GREY = (0.2989, 0.587, 0.114)  # luminance as torchvision weighs it
SOLARISE_FROM = 128 / 255


def mixing(saturation: Tensor) -> Tensor:
    """The matrices that change saturation by factors [n] (1: nothing, 0: grey), [n, 3, 3]."""
    luminance = (torch.tensor(GREY) / sum(GREY)).expand(3, 3)  # rows sum to one, so that grey stays what it is
    return luminance + saturation[:, None, None] * (torch.eye(3) - luminance)


def adjust(view: Tensor, brightness: Tensor, contrast: Tensor, mix: Tensor) -> Tensor:
    """Brightness, contrast (about the image's mean luminance) and a colour matrix from `mixing`; overwrites `view`.

    brightness and contrast are factors [n], 1 changes nothing; mix is [n, 3, 3].
    """
    n, channels, height, width = view.shape
    view = view.mul_(brightness[:, None, None, None]).clamp_(0, 1).view(n, channels, height * width)
    red, green, blue = view.mean(-1).unbind(1)
    luminance = GREY[0] * red + GREY[1] * green + GREY[2] * blue
    offset = (1 - contrast) * luminance  # the same for all channels, and mix keeps it so
    view = torch.baddbmm(offset[:, None, None], contrast[:, None, None] * mix, view)
    return view.clamp_(0, 1).view(n, channels, height, width)


def shift_hue(view: Tensor, shift: Tensor) -> Tensor:
    """Shift the hue of HSV by `shift` turns of the colour circle ([n]); overwrites `view`.

    Value and saturation stay, so the largest and the smallest channel do; each channel lies between them by a
    trapezium of the hue.
    """
    red, green, blue = view.unbind(1)
    high = torch.maximum(torch.maximum(red, green), blue)
    low = torch.minimum(torch.minimum(red, green), blue)
    chroma = high - low
    sixths = torch.where(
        high == red,
        green - blue,
        torch.where(high == green, (blue - red).add_(chroma, alpha=2), (red - green).add_(chroma, alpha=4)),
    )
    sixths.div_(chroma.clamp(min=1e-12)).add_(6 * shift[:, None, None]).remainder_(6)
    for channel, centre, sign in ((red, 3, 1), (green, 2, -1), (blue, 4, -1)):
        share = (sixths - centre).abs_().mul_(sign).add_(-1 if sign > 0 else 2).clamp_(0, 1)
        torch.addcmul(low, chroma, share, out=channel)
    return view


def solarise(view: Tensor, chosen: Tensor) -> Tensor:
    """Invert the values from 128/255 up, in the `chosen` images (bool [n])."""
    return torch.where(chosen[:, None, None, None] & (view >= SOLARISE_FROM - 1e-6), 1 - view, view)
