"""How long runs will take, and what that is known from.

A run's work is counted in training passes: one image, forward and backward, through one network. Runs of the same
kind that are done tell how many passes a second this machine makes; without any, the passes' arithmetic is divided by
a stated, assumed speed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from noisewise.runs.backbones import has_small_stem, patch
from noisewise.runs.config import Finetune, Prepare, Pretrain, Run
from noisewise.runs.methods import DivideMix
from noisewise.runs.recipe import Recipe

# Multiply-adds of a ResNet's forward pass at 224 px with the standard stem, 1e9 (torchvision's table of models).
GMACS = {"resnet18": 1.81, "resnet50": 4.09}
SMALL_STEM = 15.3  # times as many with the small stem: ResNet-18 has 0.56e9 at 32 px, against 0.0369e9
# A vision transformer's are counted, since attention grows with the square of the tokens, of which the small stem
# has 16 times as many. Width and layers: table 1 of arXiv 2012.12877 (DeiT).
VIT_WIDTH = {"vit_tiny": 192, "vit_small": 384}
VIT_LAYERS = 12
ASSUMED_TFLOPS = {"cuda": 20.0, "cpu": 0.04}  # per GPU, per core: assumed, never measured by us
IMAGES_WHEN_UNKNOWN = 10_000
CLEAN = 0.6  # share of the labels that DivideMix takes for clean: assumed

# Passes per image and epoch: views times networks.
PASSES = {
    "simclr": 2,
    "moco_v2": 2.7,  # the keys' pass goes forward only
    "barlow_twins": 2,
    "rotation": 4,
    "jigsaw": 0.75,  # nine tiles of 64/225 of the side
    "vae": 2,
    "bigbigan": 6,
    "coteaching": 2,
    "jocor": 2,
}
HEAD_ONLY = 1 / 3  # of a pass: a frozen encoder goes forward only


@dataclass(frozen=True)
class Estimate:
    """Seconds for a set of runs, and where the figure comes from."""

    seconds: float
    measured: int  # how many of the runs are estimated from done runs of their kind
    runs: int

    def describe(self, device: str) -> str:
        """How the estimate was made, in words."""
        speed = ASSUMED_TFLOPS[device] * 1000
        unit = "a GPU" if device == "cuda" else "a core"
        assumed = f"arithmetic at an assumed {speed:,.0f} GFLOP/s {unit}"
        if self.measured == 0:
            return f"{assumed}; nothing measured yet"
        if self.measured == self.runs:
            return "from the speed of finished runs of the same kind"
        return f"{self.measured} of {self.runs} runs from finished ones of their kind, the rest from {assumed}"


def passes(run: Run, images: int, train_share: float) -> float:
    """Training passes of a run over its fraction of the training images of a dataset of `images`."""
    if isinstance(run, Prepare):
        return 0.0
    per_epoch = _dividemix(run.recipe) if isinstance(run.recipe, DivideMix) else PASSES.get(run.method, 1)
    part = HEAD_ONLY if _trained(run) == "head" else 1
    return run.recipe.epochs * images * train_share * run.fraction * per_epoch * part


def _dividemix(recipe: DivideMix) -> float:
    """Passes an image and epoch, of both networks, on average over the epochs; a pass forward only is a third.

    A step has as many labelled as unlabelled images, in two views each: the network that learns guesses all of them,
    the other the unlabelled ones, and the mixtures are learnt from: of all, or without `lambda_u` of the labelled.
    Before, each network looks at all images once.
    """
    views = 2 * 2 * CLEAN  # of each network's steps, for an image of the training set
    divided = 2 * (views * (1 + 1 / 2) / 3 + (views if recipe.lambda_u else views / 2) + 1 / 3)
    share = min(recipe.cross_entropy_epochs / recipe.epochs, 1)
    return share * 2 + (1 - share) * divided


def kind(run: Run) -> tuple[Any, ...]:
    """Runs of one kind go at one speed."""
    recipe = run.recipe
    return (run.stage, run.method, recipe.backbone, recipe.stem, recipe.resolution, _trained(run))


def _trained(run: Pretrain | Finetune) -> str:
    """What of the network is trained: "all", or "head" by a fine-tuning whose recipe says so."""
    return getattr(run.recipe, "train", "all")


def speeds(results: Iterable[tuple[Run, Mapping[str, Any]]], device: str) -> dict[tuple[Any, ...], float]:
    """Seconds of one run an image and epoch, per kind of run, from the results of runs done on "cuda" or "cpu"."""
    sums: dict[tuple[Any, ...], list[float]] = {}
    for run, result in results:
        work = result.get("epochs", 0) * result.get("train_images", 0)
        if not isinstance(run, Prepare) and work and (result.get("gpu_seconds", 0) > 0) == (device == "cuda"):
            sums.setdefault(kind(run), []).append(result["wall_seconds"] / work)
    return {name: sum(values) / len(values) for name, values in sums.items()}


def estimate(
    runs: Iterable[Run],
    images: Mapping[str, int | None],
    measured: Mapping[tuple[Any, ...], float],
    device: str,
    slots: int = 1,
    cores: int = 1,
) -> Estimate:
    """Seconds for the runs: of one GPU ("cuda"), or of this machine ("cpu"), `slots` at a time with `cores` each."""
    at_once = slots if device == "cpu" else 1
    seconds, count, known = 0.0, 0, 0
    for run in runs:
        if isinstance(run, Prepare):
            continue
        count += 1
        total = images.get(run.prepare.dataset) or IMAGES_WHEN_UNKNOWN
        share = 1 - run.prepare.split.val - run.prepare.split.test
        if kind(run) in measured:
            seconds += measured[kind(run)] * run.recipe.epochs * total * share * run.fraction / at_once
            known += 1
        else:
            seconds += passes(run, total, share) * _seconds_a_pass(run, device, cores) / at_once
    return Estimate(seconds, known, count)


def gmacs(recipe: Recipe) -> float:
    """Multiply-adds of one image's forward pass through the recipe's backbone, 1e9."""
    side, resolution = patch(recipe.backbone, recipe.stem, recipe.resolution), recipe.resolution
    if side is not None:
        return _vit_gmacs((resolution / side) ** 2, side, VIT_WIDTH[recipe.backbone])
    small = has_small_stem(recipe.stem, resolution)
    return GMACS.get(recipe.backbone, 2.0) * (resolution / 224) ** 2 * (SMALL_STEM if small else 1)


def _vit_gmacs(patches: float, side: int, width: int) -> float:
    """Each layer has 12 width^2 a token (arXiv 2010.11929) and 2 width for each pair of tokens that attend."""
    tokens = patches + 1
    layer = 12 * tokens * width**2 + 2 * tokens**2 * width
    return (VIT_LAYERS * layer + patches * 3 * side**2 * width) / 1e9


def _seconds_a_pass(run: Run, device: str, cores: int) -> float:
    """Forward and backward are three forwards; a multiply-add is two operations."""
    speed = ASSUMED_TFLOPS[device] * 1e3 * (cores if device == "cpu" else 1)
    return gmacs(run.recipe) * 2 * 3 / speed
