"""Which architecture a state dict is of, for messages about weights that do not fit."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from noisewise.models.backbone import BACKBONES, build_backbone
from noisewise.models.resample import KERNEL, POSITIONS

CLASSIFIER = ("fc.weight", "fc.bias", "head.weight", "head.bias")  # torchvision's and timm's
STEM = ("conv1.weight", POSITIONS, KERNEL)  # of many shapes within one architecture
COUNTER = ".num_batches_tracked"  # missing in torchvision's older files, and nothing here reads it
FAMILIES = {"layer1.0.conv1.weight": "another ResNet", KERNEL: "another vision transformer"}


def recognise(state: Mapping[str, Tensor]) -> str:
    """The architecture of a network's weights: a name of `BACKBONES`, else a family, else nothing.

    Stem and classifier do not count: one backbone comes with several.
    """
    for name in BACKBONES:
        with torch.device("meta"):  # shapes without values: no time, no memory
            peer = build_backbone(name, "standard", 224)
        if _body(state) == _body(peer.state_dict()):
            return name
    return next((family for key, family in FAMILIES.items() if key in state), "")


def _body(state: Mapping[str, Tensor]) -> dict[str, torch.Size]:
    aside = (*STEM, *CLASSIFIER)
    return {key: value.shape for key, value in state.items() if key not in aside and not key.endswith(COUNTER)}
