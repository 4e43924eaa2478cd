"""Pretraining methods small enough to step in a test, over an encoder of a few thousand weights."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import torch
from torch import Tensor, nn

from noisewise.data.augment import Augmenter
from noisewise.pretrain.method import PretrainMethod
from noisewise.runs.config import Invariance, Normalise
from noisewise.runs.methods import PRETRAIN
from noisewise.runs.schema import build
from noisewise.train.method import Batch
from noisewise.train.optimiser import build_optimiser, set_learning_rate
from noisewise.train.ranks import Ranks

ONE = Ranks(0, 1, torch.device("cpu"))
RESOLUTION, BATCH, TRAIN_IMAGES = 24, 8, 64
SMALL: dict[str, dict[str, Any]] = {
    "simclr": {"projector_hidden": 16, "projector_out": 8},
    "moco_v2": {"projector_hidden": 16, "projector_out": 8, "queue": 16},
    "barlow_twins": {"projector_hidden": 16, "projector_out": 8},
    "rotation": {},
    "jigsaw": {"permutations": 10, "hidden": 16},
    "jigmag": {},
    "vae": {"latent": 8, "width": 16},
    "bigbigan": {"latent": 8, "width": 8},
}


class Encoder(nn.Module):
    """Images [n, 3, R, R] to features [n, 16], R at least 4; with batch normalisation, or without."""

    out_features = 16

    def __init__(self, norm: bool = True) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 8, 3, stride=2, padding=1)
        self.norm = nn.BatchNorm2d(8) if norm else nn.Identity()
        self.second = nn.Conv2d(8, 16, 3, stride=2, padding=1)

    def forward(self, images: Tensor) -> Tensor:
        return self.second(self.norm(self.first(images)).relu()).relu().mean((2, 3))


def make_recipe(name: str, **changes: Any) -> Any:
    values = {"resolution": RESOLUTION, "batch": BATCH, "epochs": 2, "warmup_epochs": 0, "decay_from_epoch": 0}
    return build(PRETRAIN[name], {**values, **SMALL[name], **changes}, name)


def make_method(
    name: str, ranks: Ranks = ONE, norm: bool = True, encoder: nn.Module | None = None, **changes: Any
) -> PretrainMethod:
    """The method with seeded initial weights; `changes` are keys of its recipe."""
    torch.manual_seed(0)
    recipe = make_recipe(name, **changes)
    augment = Augmenter(recipe.augmentation, Invariance(), recipe.resolution, Normalise())
    module = import_module(f"noisewise.pretrain.{name}")
    return module.Method(recipe, encoder or Encoder(norm), augment, ranks, TRAIN_IMAGES)


def make_images(count: int = BATCH, size: int = 32, seed: int = 0) -> Tensor:
    """Smooth random images, uint8 [count, size, size, 3]: each unlike the others, and unlike its own rotations."""
    coarse = torch.rand(count, 3, 5, 5, generator=torch.Generator().manual_seed(seed))
    images = nn.functional.interpolate(coarse, size=(size, size), mode="bicubic").clamp(0, 1)
    return (255 * images).byte().permute(0, 2, 3, 1).contiguous()


def make_batch(ranks: Ranks = ONE, total: int = BATCH, seed: int = 0, turn: str = "all") -> Batch:
    """A step's batch of `total` images over all ranks, this rank's rows of it."""
    rows = ranks.rows(total)
    return Batch(
        images=make_images(total, seed=seed)[rows],
        index=torch.arange(total)[rows],
        rows=rows,
        total=total,
        world=ranks.world,
        generator=torch.Generator().manual_seed(seed),
        epoch=0.5,
        turn=turn,
    )


def train(method: PretrainMethod, steps: int, lr: float, seed: int = 0) -> list[dict[str, float]]:
    """Some steps on one rank, as the loop does them; returns each step's losses and statistics, by turn."""
    method.train()
    optimisers = {turn: build_optimiser(method.recipe, method.trained(turn), ONE.device) for turn in method.turns}
    records = []
    for step in range(steps):
        record = {}
        for turn in method.turns:
            method.zero_grad(set_to_none=True)
            set_learning_rate(optimisers[turn], lr)
            loss, statistics = method(make_batch(seed=seed + step, turn=turn))
            loss.backward()
            optimisers[turn].step()
            record |= {f"{turn}_loss": loss.item(), **{name: float(value) for name, value in statistics.items()}}
        method.after_step()
        records.append(record)
    return records
