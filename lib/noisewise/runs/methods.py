"""The methods, each with its hyper-parameters: a frozen dataclass, each field with the default the literature gives.

They live on the planning side, apart from the methods' own files, because a run's key hashes every one of
them and planning must not import torch. The module of a method is `noisewise.<stage>.<name>`; adding a method
is that one file and one line in `PRETRAIN` or `FINETUNE` below.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from importlib.util import find_spec

from noisewise.runs.recipe import Augmentation, FinetuneRecipe, PretrainRecipe, Recipe


@dataclass(frozen=True)
class SimCLR(PretrainRecipe):
    """SimCLR (arXiv 2002.05709) as in the study's public code: temperature .07, head 512-512-128; the paper's crop.

    That code also holds the rate for the first 10 epochs: `decay_from_epoch` in the recipe `paper`.
    """

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
class MoCoV2(PretrainRecipe):
    """MoCo v2 (arXiv 2003.04297) as in its authors' code, whose hidden layer is as wide as a ResNet-18's features.

    key_momentum: of the momentum encoder. queue: keys that are kept; "auto" is 65,536 or, where the images are fewer,
        as many whole batches as half of them fill (`noisewise.pretrain.moco_v2`).
    """

    lr: float = 0.03
    temperature: float = 0.2
    key_momentum: float = 0.999
    queue: int | str = "auto"
    projector_hidden: int = 512
    projector_out: int = 128
    augmentation: Augmentation = field(
        default_factory=lambda: Augmentation(
            brightness=0.4, contrast=0.4, saturation=0.4, hue=0.1, grey_p=0.2, blur_p=0.5
        )
    )


@dataclass(frozen=True)
class BarlowTwins(PretrainRecipe):
    """Barlow Twins (arXiv 2103.03230) as in its authors' code: LARS, a projector of three layers, unlike views.

    redundancy: lambda, the weight of the off-diagonal terms. second: what is done to the second view.
    """

    batch: int = 512
    optimiser: str = "lars"
    lr: float = 0.2
    bias_lr: float = 0.0048
    lr_batch: int = 256
    weight_decay: float = 1e-6
    final_lr: float = 0.0002
    warmup_epochs: float = 10.0
    redundancy: float = 0.0051
    projector_hidden: int = 8192
    projector_out: int = 8192
    augmentation: Augmentation = field(
        default_factory=lambda: Augmentation(
            crop_min=0.08, brightness=0.4, contrast=0.4, saturation=0.2, hue=0.1, grey_p=0.2, blur_p=1.0
        )
    )
    second: Augmentation = field(
        default_factory=lambda: Augmentation(
            crop_min=0.08,
            brightness=0.4,
            contrast=0.4,
            saturation=0.2,
            hue=0.1,
            grey_p=0.2,
            blur_p=0.1,
            solarise_p=0.2,
        )
    )


@dataclass(frozen=True)
class Rotation(PretrainRecipe):
    """RotNet (arXiv 1803.07728): every image in all four rotations, so a batch is 4 x `batch` passes."""

    batch: int = 128
    lr: float = 0.1
    nesterov: bool = True
    weight_decay: float = 5e-4
    schedule: str = "step"
    augmentation: Augmentation = field(default_factory=lambda: Augmentation(crop_min=0.5))


@dataclass(frozen=True)
class Jigsaw(PretrainRecipe):
    """Jigsaw puzzles (arXiv 1603.09246): 3 x 3 tiles.

    permutations: orders of the tiles to be told apart. tile: side of a tile, pixels (0: 64/225 of the resolution, as
        in the paper); what is left of a cell is jitter. hidden: units of the head's hidden layer.
    """

    lr: float = 0.001
    permutations: int = 1000
    tile: int = 0
    hidden: int = 4096
    augmentation: Augmentation = field(default_factory=lambda: Augmentation(crop_min=0.5, grey_p=0.3))


@dataclass(frozen=True)
class JigMag(PretrainRecipe):
    """JigMag, of Self-Path (arXiv 2008.05571): which of the 24 orders do four magnifications lie in?

    zoom: ratio between one magnification and the next.
    """

    batch: int = 64
    optimiser: str = "adam"
    lr: float = 1e-3
    zoom: float = 2.0
    augmentation: Augmentation = field(default_factory=lambda: Augmentation(crop_min=0.5))


@dataclass(frozen=True)
class VAE(PretrainRecipe):
    """Variational autoencoder (arXiv 1312.6114) with a weight on the prior (arXiv 1804.03599: beta).

    weight_decay: beside a loss that is divided by the number of values, L2 in Adam would be far too strong.
    beta: weight of the Kullback-Leibler term. latent: dimensions of the code. width: channels of the decoder's first
        feature map, halved at each doubling of its side.
    """

    epochs: int = 300
    optimiser: str = "adam"
    lr: float = 1e-3
    weight_decay: float = 0.0
    beta: float = 0.1
    latent: int = 256
    width: int = 512
    augmentation: Augmentation = field(default_factory=lambda: Augmentation(crop_min=0.5))


@dataclass(frozen=True)
class BigBiGAN(PretrainRecipe):
    """BigBiGAN (arXiv 1907.02544) at 128 pixels.

    latent: dimensions of the code. width: channels of the generator and the discriminator at full resolution, doubled
        at each halving. discriminator_steps: for each step of generator and encoder.
    """

    resolution: int = 128
    epochs: int = 300
    batch: int = 32
    optimiser: str = "adam"
    lr: float = 2e-5
    betas: list[float] = field(default_factory=lambda: [0.5, 0.999])
    weight_decay: float = 0.0
    schedule: str = "constant"
    latent: int = 120
    width: int = 64
    discriminator_steps: int = 2
    augmentation: Augmentation = field(default_factory=lambda: Augmentation(crop_min=0.5))


@dataclass(frozen=True)
class CrossEntropy(FinetuneRecipe):
    """The baseline: cross-entropy on the labels as they are."""


@dataclass(frozen=True)
class CoTeaching(FinetuneRecipe):
    """Co-teaching (arXiv 1804.06872): R(t) = 1 - rate * min(t / ramp_epochs, 1).

    assume_rate: the noise rate that the method is told; "known" is the true share of wrong training labels (as in the
        papers, and not to be had in real use), "estimated" is found while training (`noisewise.finetune.noise_rate`),
        a number is an assumption of yours.
    """

    assume_rate: float | str = "known"
    ramp_epochs: float = 10.0


@dataclass(frozen=True)
class JoCoR(CoTeaching):
    """JoCoR (arXiv 2003.02752), with Co-teaching's schedule.

    agreement: lambda, the weight of the two networks' agreement; the paper's choice for CIFAR-10.
    """

    agreement: float = 0.9


@dataclass(frozen=True)
class DivideMix(FinetuneRecipe):
    """DivideMix (arXiv 2002.07394), with its authors' settings for CIFAR-10; those for photographs are in recipe paper.

    batch: half of it labelled images, half unlabelled ones; as labelled all, before there is a split.
    cross_entropy_epochs: before the first split (the paper's warm-up; `warmup_epochs` is the learning rate's).
    confidence_penalty: in those epochs: "always", "never", or "auto": unless the noise is symmetric, or none.
    threshold: of the probability of being clean, above which a label is kept. temperature: of the sharpening.
    alpha: MixUp's weights are of Beta(alpha, alpha). lambda_u: weight of the unlabelled loss, reached from 0 within
        ramp_epochs after the first split; with 0, unlabelled images are mixed in only.
    """

    epochs: int = 300
    lr: float = 0.02
    weight_decay: float = 5e-4
    schedule: str = "step"
    step_at: list[float] = field(default_factory=lambda: [0.5])
    step_factor: float = 0.1
    cross_entropy_epochs: int = 10
    confidence_penalty: str = "auto"
    threshold: float = 0.5
    temperature: float = 0.5
    alpha: float = 4.0
    lambda_u: float = 25.0
    ramp_epochs: float = 16.0


@dataclass(frozen=True)
class ELR(FinetuneRecipe):
    """ELR (arXiv 2007.00151), with the values for CIFAR-10 in its authors' code.

    strength: lambda, the weight of the regularisation. target_momentum: beta, of the running targets.
    """

    strength: float = 3.0
    target_momentum: float = 0.7


@dataclass(frozen=True)
class GCE(FinetuneRecipe):
    """Generalised cross-entropy (arXiv 1805.07836).

    q: 1 is the mean absolute error, towards 0 it is cross-entropy; the paper's choice.
    """

    q: float = 0.7


@dataclass(frozen=True)
class LabelSmoothing(FinetuneRecipe):
    """Label smoothing (arXiv 1512.00567, 2003.02819).

    smoothing: a, the share of the label that is spread over all classes.
    """

    smoothing: float = 0.1


PRETRAIN: dict[str, type[Recipe]] = {
    "moco_v2": MoCoV2,
    "simclr": SimCLR,
    "barlow_twins": BarlowTwins,
    "rotation": Rotation,
    "jigsaw": Jigsaw,
    "jigmag": JigMag,
    "vae": VAE,
    "bigbigan": BigBiGAN,
}

FINETUNE: dict[str, type[Recipe]] = {
    "cross_entropy": CrossEntropy,
    "coteaching": CoTeaching,
    "dividemix": DivideMix,
    "jocor": JoCoR,
    "elr": ELR,
    "gce": GCE,
    "label_smoothing": LabelSmoothing,
}

METHODS: dict[str, dict[str, type[Recipe]]] = {"pretrain": PRETRAIN, "finetune": FINETUNE}


def exists(stage: str, method: str) -> bool:
    """Whether the method's module is there. A name can be planned for before it can be run."""
    return method in METHODS[stage] and find_spec(f"noisewise.{stage}.{method}") is not None
