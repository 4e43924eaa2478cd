"""Optimisers and the learning rate at every step."""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import nn

from noisewise.runs.recipe import Recipe


def learning_rate(recipe: Recipe, epoch: float) -> float:
    """The learning rate at a point of the training, in epochs with fractions.

    Linear from 0 over the warm-up, the peak until `decay_from_epoch`, then (schedule "cosine") half a cosine down to
    `final_lr` at the last epoch's end (SGDR, arXiv 1608.03983, equation 5, without restarts).
    """
    if epoch < recipe.warmup_epochs:
        return recipe.lr * epoch / recipe.warmup_epochs
    start = max(recipe.decay_from_epoch, recipe.warmup_epochs)
    if recipe.schedule == "constant" or epoch < start or recipe.epochs <= start:
        return recipe.lr
    share = (epoch - start) / (recipe.epochs - start)
    return recipe.final_lr + (recipe.lr - recipe.final_lr) * (1 + math.cos(math.pi * share)) / 2


def build_optimiser(recipe: Recipe, parameters: Iterable[nn.Parameter], device: torch.device) -> torch.optim.Optimizer:
    """The recipe's optimiser; on a GPU with fused kernels. Weight decay is L2, as in the methods' own codes."""
    common = {"lr": recipe.lr, "weight_decay": recipe.weight_decay, "fused": device.type == "cuda"}
    if recipe.optimiser == "adam":
        return torch.optim.Adam(parameters, **common)
    nesterov = recipe.nesterov and recipe.momentum > 0
    return torch.optim.SGD(parameters, momentum=recipe.momentum, nesterov=nesterov, **common)


def set_learning_rate(optimiser: torch.optim.Optimizer, value: float) -> None:
    for group in optimiser.param_groups:
        group["lr"] = value
