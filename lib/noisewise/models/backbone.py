"""Backbones: torchvision's and timm's networks without their classifier, with a stem for small images where asked for.

ResNets: arXiv 1512.03385. Vision transformers: arXiv 2010.11929, in the sizes of arXiv 2012.12877 (DeiT).
"""

from __future__ import annotations

from collections.abc import Callable

import torchvision
from torch import nn

from noisewise.runs.backbones import check_backbone, has_small_stem, patch


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


def vit(name: str, small: bool, resolution: int) -> nn.Module:
    """A timm vision transformer that ends in its class token: the small stem has patches of 4 px, the standard of 16.

    Its position embeddings are for `resolution`; images of another size (tiles, say) that the patches divide get them
    resampled on the way.
    """
    import timm  # takes longer than torchvision to import, and a ResNet does without

    network = timm.create_model(
        f"{name}_patch16_224",  # 16 and 224 are this architecture's name in timm, and overridden here
        pretrained=False,
        num_classes=0,
        img_size=resolution,
        patch_size=patch(name, "small" if small else "standard", resolution),
        dynamic_img_size=True,
    )
    network.out_features = network.num_features
    return network


BACKBONES: dict[str, Callable[[bool, int], nn.Module]] = {
    "resnet18": lambda small, resolution: resnet(torchvision.models.resnet18, small),
    "resnet50": lambda small, resolution: resnet(torchvision.models.resnet50, small),
    "vit_tiny": lambda small, resolution: vit("vit_tiny", small, resolution),
    "vit_small": lambda small, resolution: vit("vit_small", small, resolution),
}


def build_backbone(name: str, stem: str, resolution: int) -> nn.Module:
    """A randomly initialised network from [n, 3, R, R] to features [n, d]; d is its `out_features`.

    Args:
        name: one of `BACKBONES`.
        stem: "standard", "small", or "auto": small up to 64 pixels.
        resolution: side R of its inputs, pixels.

    Raises:
        UserError: an unknown name or stem, or a resolution that a vision transformer's patches do not divide.
    """
    check_backbone(name, stem, resolution)
    return BACKBONES[name](has_small_stem(stem, resolution), resolution)
