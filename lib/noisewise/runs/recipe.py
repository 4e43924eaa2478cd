"""Hyper-parameters that all methods have; each method's own are in `noisewise.runs.methods`."""

from __future__ import annotations

from dataclasses import dataclass, field

NO_PART_OF_THE_KEY = {"key": False}  # a field that decides whether there is a result, or what is said, not which


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
    accumulate: parts that a batch is computed in, one after the other, to save memory; their gradients are averaged.
        What looks at other images (batch normalisation, contrastive losses, Co-teaching's picks) sees its part only.
    optimiser: "sgd", "adam", "adamw" or "lars". momentum and nesterov are of sgd and lars, betas of adam and adamw.
    lr: peak learning rate, for the global batch as it is; or, with lr_batch, for a batch of that many images: it is
        then scaled by batch / lr_batch (linear scaling, arXiv 1706.02677). final_lr and bias_lr are scaled with it.
    bias_lr: lars's rate for biases and norms, which it neither decays nor adapts (0: as lr).
    schedule: "cosine" to final_lr, "constant", or "step": times step_factor after each share step_at of the epochs.
    warmup_epochs: epochs of linear warm-up from 0, before the schedule.
    decay_from_epoch: the cosine starts here; until then the rate is at its peak.
    stem: "small" (3x3, stride 1, no pooling), "standard" (7x7, stride 2, pooling), or "auto": small up to 64 px.
        Of a vision transformer: patches of 4 pixels, or of 16.
    precision: "auto" (bfloat16 autocast on a GPU that has it, float32 elsewhere), "fp32" or "bf16".
    """

    backbone: str = "resnet18"
    stem: str = "auto"
    resolution: int = 224
    epochs: int = 50
    batch: int = 128
    accumulate: int = 1
    optimiser: str = "sgd"
    lr: float = 0.01
    lr_batch: int = 0
    bias_lr: float = 0.0
    momentum: float = 0.9
    nesterov: bool = False
    betas: list[float] = field(default_factory=lambda: [0.9, 0.999])
    weight_decay: float = 1e-4
    schedule: str = "cosine"
    final_lr: float = 0.0
    step_at: list[float] = field(default_factory=lambda: [0.3, 0.6, 0.8])
    step_factor: float = 0.2
    warmup_epochs: float = 0.0
    decay_from_epoch: float = 0.0
    precision: str = "auto"
    augmentation: Augmentation = field(default_factory=Augmentation)


@dataclass(frozen=True)
class PretrainRecipe(Recipe):
    """What the pretraining methods share; enough for one without settings of its own.

    probe_epochs: epochs between looks at how good the encoder is (0: before the first and after the last epoch only).
    """

    epochs: int = 600
    batch: int = 256
    probe_epochs: int = field(default=10, metadata=NO_PART_OF_THE_KEY)


@dataclass(frozen=True)
class FinetuneRecipe(Recipe):
    """Fine-tuning on noisy labels; what the noisy-label methods share.

    last_epochs: the *last* score is the mean over this many final epochs.
    train: "all", or "head": a linear probe, whose encoder stays as it was loaded, batch normalisation included.
    select: the best epoch is chosen by "clean" validation labels, or by "noisy" ones where no clean ones would be had.
    """

    augmentation: Augmentation = field(default_factory=lambda: Augmentation(crop_min=0.5))
    last_epochs: int = 5
    train: str = "all"
    select: str = "clean"
