"""Optimisers, built from a recipe."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import nn

from noisewise.runs.recipe import Recipe


def build_optimiser(recipe: Recipe, parameters: Iterable[nn.Parameter], device: torch.device) -> torch.optim.Optimizer:
    """The recipe's optimiser over the parameters that want gradients; on a GPU with fused kernels where torch has them.

    Weight decay is L2, as in the methods' own codes, but for "adamw". Each parameter group's `lr_scale` is what its
    learning rate is multiplied by at each step (`set_learning_rate`).
    """
    trained = [parameter for parameter in parameters if parameter.requires_grad]
    common = {"lr": recipe.lr, "weight_decay": recipe.weight_decay}
    nesterov = recipe.nesterov and recipe.momentum > 0
    if recipe.optimiser == "lars":
        from timm.optim.lars import Lars  # half a second, for the few that want it

        return Lars(_lars_groups(recipe, trained), momentum=recipe.momentum, nesterov=nesterov, **common)
    common["fused"] = device.type == "cuda"
    groups = [{"params": trained, "lr_scale": 1.0}]
    if recipe.optimiser in ("adam", "adamw"):
        cls = torch.optim.Adam if recipe.optimiser == "adam" else torch.optim.AdamW
        return cls(groups, betas=tuple(recipe.betas), **common)
    return torch.optim.SGD(groups, momentum=recipe.momentum, nesterov=nesterov, **common)


def _lars_groups(recipe: Recipe, parameters: list[nn.Parameter]) -> list[dict]:
    """Weights, which LARS adapts and decays; biases and norms, which it does not (arXiv 2103.03230, section 2.2)."""
    weights = [parameter for parameter in parameters if parameter.ndim > 1]
    rest = [parameter for parameter in parameters if parameter.ndim <= 1]
    scale = recipe.bias_lr / recipe.lr if recipe.bias_lr else 1.0
    return [
        {"params": weights, "lr_scale": 1.0, "always_adapt": True},
        {"params": rest, "lr_scale": scale, "always_adapt": False, "weight_decay": 0.0},
    ]


def set_learning_rate(optimiser: torch.optim.Optimizer, value: float) -> None:
    for group in optimiser.param_groups:
        group["lr"] = value * group["lr_scale"]
