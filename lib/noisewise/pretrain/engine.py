"""Pretraining, whatever the method: images in, an encoder out."""

from __future__ import annotations

import math
from contextlib import ExitStack, closing
from importlib import import_module
from typing import Any

import torch
from torch import nn

from noisewise.data.augment import Augmenter
from noisewise.data.engine import open_pack
from noisewise.data.loader import open_images
from noisewise.data.subset import training_images
from noisewise.errors import RunError
from noisewise.models.initial import build_encoder
from noisewise.runs.config import Pretrain
from noisewise.runs.folder import RunFolder, Settings
from noisewise.track import Tracker
from noisewise.train import checkpoint, order
from noisewise.train.control import Control
from noisewise.train.loop import Loop
from noisewise.train.ranks import Ranks
from noisewise.train.seeds import seed_everything


def pretrain(run: Pretrain, folder: RunFolder, settings: Settings, ranks: Ranks, control: Control) -> dict[str, Any]:
    """Train the run's method to the end and write `encoder.pt`; returns what goes into `result.json`.

    Raises:
        Interrupted: stopped on request, after saving.
        RunError: in any of the classes of `noisewise.runs.failure`.
    """
    recipe = run.recipe
    if recipe.batch % ranks.world:
        raise RunError(
            "config",
            f"the recipe's batch of {recipe.batch} cannot be shared equally by {ranks.world} ranks",
            "Set the recipe's batch to a multiple of the ranks, then submit the grid again.",
        )
    pack = open_pack(run.prepare, settings, ranks)
    train = training_images(pack, run.fraction)
    _check_fraction(run, len(train), len(pack.indices("train")))
    seed_everything("initial weights", run.seed)
    encoder, loaded = build_encoder(run, folder, settings)
    method = _build(run, encoder).to(ranks.device, memory_format=torch.channels_last)
    with ExitStack() as stack:
        source = stack.enter_context(closing(open_images(pack, ranks.device, train)))
        tracker = stack.enter_context(closing(Tracker(folder, run, settings))) if ranks.first else None
        place = Loop(
            method=method,
            recipe=recipe,
            seed=run.seed,
            order=lambda epoch: order.full_batches(len(train), recipe.batch, run.seed, epoch),
            images=lambda steps: source.batches([train[step] for step in steps]),
            end_epoch=lambda epoch, history: {},
            epoch_saved=lambda history: None,
            folder=folder,
            settings=settings,
            ranks=ranks,
            control=control,
            tracker=tracker,
        ).run()
        if not tracker:
            return {}
        checkpoint.save_weights(folder.encoder, method.encoder)
        result = {
            "loss": place.history[-1]["loss"],
            "epochs": recipe.epochs,
            "train_images": len(train),
            "initial_weights": loaded,
        }
        tracker.close(result)
        return result


def _check_fraction(run: Pretrain, count: int, whole: int) -> None:
    """Refuse a fraction that leaves `count` of `whole` images, fewer than a batch, where all would be enough."""
    batch = run.recipe.batch
    if count < batch <= whole:
        enough = math.ceil(1000 * batch / whole) / 1000
        raise RunError(
            "config",
            f"the recipe's batch of {batch} is larger than the {count} training images that "
            f"data.fraction={run.fraction:g} leaves of the {whole} of {run.prepare.dataset}",
            f"Set data.fraction to at least {enough:g}, or recipe.pretrain.{run.method}.batch to at most {count}, then "
            "submit again.",
        )


def _build(run: Pretrain, encoder: nn.Module) -> nn.Module:
    augment = Augmenter(run.recipe.augmentation, run.allowed, run.recipe.resolution, run.normalise)
    return import_module(f"noisewise.pretrain.{run.method}").Method(run.recipe, encoder, augment)
