"""The learning rate at every step."""

from __future__ import annotations

import math

from noisewise.runs.recipe import Recipe


def learning_rate(recipe: Recipe, epoch: float) -> float:
    """The learning rate at a point of the training, in epochs with fractions.

    Linear from 0 over the warm-up, then by the schedule: "constant"; "step", times `step_factor` at each share
    `step_at` of the epochs; "cosine", the peak until `decay_from_epoch`, then half a cosine down to `final_lr` at the
    last epoch's end (SGDR, arXiv 1608.03983, equation 5, without restarts). All of it times `lr_scale(recipe)`.
    """
    return lr_scale(recipe) * _unscaled(recipe, epoch)


def lr_scale(recipe: Recipe) -> float:
    """What linear scaling makes of the learning rate: batch / lr_batch, or 1 where the recipe wants none."""
    return recipe.batch / recipe.lr_batch if recipe.lr_batch else 1.0


def _unscaled(recipe: Recipe, epoch: float) -> float:
    if epoch < recipe.warmup_epochs:
        return recipe.lr * epoch / recipe.warmup_epochs
    if recipe.schedule == "step":
        passed = sum(epoch >= share * recipe.epochs for share in recipe.step_at)
        return recipe.lr * recipe.step_factor**passed
    start = max(recipe.decay_from_epoch, recipe.warmup_epochs)
    if recipe.schedule == "constant" or epoch < start or recipe.epochs <= start:
        return recipe.lr
    share = (epoch - start) / (recipe.epochs - start)
    return recipe.final_lr + (recipe.lr - recipe.final_lr) * (1 + math.cos(math.pi * share)) / 2
