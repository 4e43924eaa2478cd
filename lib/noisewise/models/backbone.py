"""Backbones: torchvision's networks without their classifier, and with a stem for small images where asked for."""

from __future__ import annotations

from collections.abc import Callable

import torchvision
from torch import nn

from noisewise.errors import unknown

SMALL_UP_TO = 64  # pixels: up to here "auto" takes the small stem
STEMS = ("auto", "small", "standard")


def resnet(make: Callable[..., nn.Module], small: bool) -> nn.Module:
    """A torchvision ResNet that ends in its pooled features.

    The small stem is SimCLR's for CIFAR (arXiv 2002.05709, appendix B.9): a 3x3 convolution of stride 1 and no
    pooling, so that the last feature map of a 32-pixel image is 4x4 and not a single point.
    """
    network = make(weights=None)
    network.out_features = network.fc.in_features
    network.fc = nn.Identity()
    if small:
        network.conv1 = nn.Conv2d(3, 64, kernel_size=3, stride=1, padding=1, bias=False)
        nn.init.kaiming_normal_(network.conv1.weight, mode="fan_out", nonlinearity="relu")
        network.maxpool = nn.Identity()
    return network


BACKBONES: dict[str, Callable[[bool], nn.Module]] = {
    "resnet18": lambda small: resnet(torchvision.models.resnet18, small),
    "resnet50": lambda small: resnet(torchvision.models.resnet50, small),
}


def build_backbone(name: str, stem: str, resolution: int) -> nn.Module:
    """A randomly initialised network from [n, 3, R, R] to features [n, d]; d is its `out_features`.

    Args:
        name: one of `BACKBONES`.
        stem: "standard", "small", or "auto": small up to 64 pixels.
        resolution: side R of its inputs, pixels.

    Raises:
        UserError: an unknown name or stem; lists the legal ones.
    """
    if name not in BACKBONES:
        raise unknown("backbone", name, BACKBONES)
    if stem not in STEMS:
        raise unknown("stem", stem, STEMS)
    return BACKBONES[name](stem == "small" or (stem == "auto" and resolution <= SMALL_UP_TO))
