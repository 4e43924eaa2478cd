"""Hyper-parameters: one frozen dataclass a method, each field with the default the literature gives.

They live on the planning side, apart from the methods' own files, because a run's key hashes every one of
them and planning must not import torch. The module of a method is `noisewise.<stage>.<name>`; adding a method
is that one file and one line in `PRETRAIN` or `FINETUNE` below.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import Union


@dataclass(frozen=True)
class Augmentation:
    """Random changes of a view, each image its own. What a dataset's labels do not survive is left out (`Invariance`).

    crop_min, crop_max: share of the image's area that a random resized crop keeps (crop_min = crop_max = 1: no crop).
    brightness, contrast, saturation, hue: half-widths of torchvision's ColorJitter, done with probability jitter_p.
    grey_p, blur_p, solarise_p: probabilities. The blur's sigma is uniform in [0.1, 2.0] pixels at 224 px,
        scaled with the resolution.
    """

    crop_min: float = 0.2
    crop_max: float = 1.0
    brightness: float = 0.0
    contrast: float = 0.0
    saturation: float = 0.0
    hue: float = 0.0
    jitter_p: float = 0.8
    grey_p: float = 0.0
    blur_p: float = 0.0
    solarise_p: float = 0.0


@dataclass(frozen=True)
class Recipe:
    """What every training run has.

    resolution: side of the square that the network sees, pixels.
    batch: images a step, over all ranks together.
    lr: peak learning rate for that global batch (never rescaled behind your back).
    warmup_epochs: epochs of linear warm-up from 0, before the schedule.
    decay_from_epoch: the cosine starts here; until then the rate is at its peak.
    stem: "small" (3x3, stride 1, no pooling), "standard" (7x7, stride 2, pooling), or "auto": small up to 64 px.
    precision: "auto" (bfloat16 autocast on a GPU that has it, float32 elsewhere), "fp32" or "bf16".
    """

    backbone: str = "resnet18"
    stem: str = "auto"
    resolution: int = 224
    epochs: int = 50
    batch: int = 128
    optimiser: str = "sgd"
    lr: float = 0.01
    momentum: float = 0.9
    nesterov: bool = False
    weight_decay: float = 1e-4
    schedule: str = "cosine"
    final_lr: float = 0.0
    warmup_epochs: float = 0.0
    decay_from_epoch: float = 0.0
    precision: str = "auto"
    augmentation: Augmentation = field(default_factory=Augmentation)


@dataclass(frozen=True)
class PretrainRecipe(Recipe):
    """A pretraining method without settings of its own."""

    epochs: int = 600
    batch: int = 256


@dataclass(frozen=True)
class SimCLR(PretrainRecipe):
    """SimCLR (arXiv 2002.05709) as in the study's public code: temperature .07, head 512-512-128; the paper's crop."""

    batch: int = 512
    optimiser: str = "adam"
    lr: float = 1e-3
    temperature: float = 0.07
    projector_hidden: int = 512
    projector_out: int = 128
    augmentation: Augmentation = field(
        default_factory=lambda: Augmentation(
            crop_min=0.08, brightness=0.8, contrast=0.8, saturation=0.8, hue=0.2, grey_p=0.2, blur_p=1.0
        )
    )


@dataclass(frozen=True)
class FinetuneRecipe(Recipe):
    """Fine-tuning on noisy labels; what the noisy-label methods share.

    last_epochs: the *last* score is the mean over this many final epochs.
    """

    augmentation: Augmentation = field(default_factory=lambda: Augmentation(crop_min=0.5))
    last_epochs: int = 5


@dataclass(frozen=True)
class CrossEntropy(FinetuneRecipe):
    """The baseline: cross-entropy on the labels as they are."""


@dataclass(frozen=True)
class CoTeaching(FinetuneRecipe):
    """Co-teaching (arXiv 1804.06872): R(t) = 1 - rate * min(t / ramp_epochs, 1).

    assume_rate: the noise rate that the method is told; "known" is the label set's nominal rate (as in the papers,
        and not to be had in real use), a number is an assumption of yours.
    """

    assume_rate: Union[float, str] = "known"
    ramp_epochs: float = 10.0


PRETRAIN: dict[str, type[Recipe]] = {
    "moco_v2": PretrainRecipe,
    "simclr": SimCLR,
    "barlow_twins": PretrainRecipe,
    "rotation": PretrainRecipe,
    "jigsaw": PretrainRecipe,
    "jigmag": PretrainRecipe,
    "vae": PretrainRecipe,
    "bigbigan": PretrainRecipe,
}

FINETUNE: dict[str, type[Recipe]] = {
    "cross_entropy": CrossEntropy,
    "coteaching": CoTeaching,
    "dividemix": FinetuneRecipe,
}

METHODS: dict[str, dict[str, type[Recipe]]] = {"pretrain": PRETRAIN, "finetune": FINETUNE}


def exists(stage: str, method: str) -> bool:
    """Whether the method's module is there. A name can be planned for before it can be run."""
    return method in METHODS[stage] and find_spec(f"noisewise.{stage}.{method}") is not None
