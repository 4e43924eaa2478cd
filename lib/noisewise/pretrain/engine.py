"""Pretraining, whatever the method: images in, an encoder out."""

from __future__ import annotations

import math
from contextlib import ExitStack, closing
from importlib import import_module
from typing import Any

import numpy as np
import torch

from noisewise.data.augment import Augmenter
from noisewise.data.engine import open_pack
from noisewise.data.loader import open_images
from noisewise.data.pack import Pack
from noisewise.data.subset import training_images
from noisewise.errors import RunError
from noisewise.models.initial import build_encoder
from noisewise.pretrain.looks import Looks
from noisewise.pretrain.prober import PROBES
from noisewise.runs.config import Pretrain
from noisewise.runs.folder import RunFolder, Settings
from noisewise.track import Tracker
from noisewise.train import checkpoint
from noisewise.train.control import Control
from noisewise.train.loop import Loop
from noisewise.train.order import Step, full_batches
from noisewise.train.ranks import Ranks
from noisewise.train.seeds import seed_everything


def pretrain(run: Pretrain, folder: RunFolder, settings: Settings, ranks: Ranks, control: Control) -> dict[str, Any]:
    """Train the run's method to the end and write `encoder.pt`; returns what goes into `result.json`.

    Raises:
        Interrupted: stopped on request, after saving.
        RunError: in any of the classes of `noisewise.runs.failure`.
    """
    recipe = run.recipe
    _check_parts(run, ranks)
    pack = open_pack(run.prepare, settings, ranks)
    train = training_images(pack, run.fraction)
    _check_count(run, len(train), len(pack.indices("train")))
    seed_everything("initial weights", run.seed)
    encoder, loaded = build_encoder(run, folder, settings)
    augment = Augmenter(recipe.augmentation, run.allowed, recipe.resolution, run.normalise)
    method = import_module(f"noisewise.pretrain.{run.method}").Method(recipe, encoder, augment, ranks, len(train))
    method = method.to(ranks.device, memory_format=torch.channels_last)
    with ExitStack() as stack:
        source = stack.enter_context(closing(open_images(pack, ranks.device, _shown(pack, train))))
        tracker = stack.enter_context(closing(Tracker(folder, run, settings))) if ranks.first else None
        looks = Looks(run, folder, method, pack, source, ranks)
        place = Loop(
            method=method,
            recipe=recipe,
            seed=run.seed,
            order=lambda epoch: [
                Step(rows, method.turns) for rows in full_batches(len(train), recipe.batch, run.seed, epoch)
            ],
            images=lambda steps: source.batches([train[step] for step in steps]),
            begin=looks.begin,
            end_epoch=lambda epoch, history: looks.end_epoch(epoch),
            epoch_saved=None,
            folder=folder,
            settings=settings,
            ranks=ranks,
            control=control,
            tracker=tracker,
        ).run()
        if not tracker:
            return {}
        checkpoint.save_weights(folder.encoder, method.encoder)
        first, *_, last = place.history
        result = {
            "loss": last["loss"],
            **{name: last[name] for name in PROBES},
            **{f"initial_{name}": first[name] for name in PROBES},
            "epochs": recipe.epochs,
            "train_images": len(train),
            "initial_weights": loaded,
        }
        tracker.close(result)
        return result


def _shown(pack: Pack, train: np.ndarray) -> np.ndarray:
    """The pack's samples that are asked for: those that train, and those that the looks are at."""
    return np.union1d(train, pack.indices("val"))


def _check_parts(run: Pretrain, ranks: Ranks) -> None:
    """Every rank needs as many images, in each part of a batch, as the others: what mixes samples counts on it."""
    recipe, parts = run.recipe, ranks.world * run.recipe.accumulate
    if recipe.batch % parts:
        raise RunError(
            "config",
            f"the recipe's batch of {recipe.batch} cannot be shared equally by {ranks.world} ranks in "
            f"{recipe.accumulate} parts each",
            f"Set recipe.pretrain.{run.method}.batch to a multiple of {parts}, then submit the grid again.",
        )


def _check_count(run: Pretrain, count: int, whole: int) -> None:
    """Refuse `count` training images, of `whole`, that are fewer than a batch; before anything is loaded."""
    batch, setting = run.recipe.batch, f"recipe.pretrain.{run.method}.batch to at most {count}"
    if count >= batch:
        return
    found = f"the recipe's batch of {batch} is larger than the {count} training images"
    if batch > whole:
        raise RunError("config", f"{found} of {run.prepare.dataset}", f"Set {setting}, then submit again.")
    enough = math.ceil(1000 * batch / whole) / 1000
    raise RunError(
        "config",
        f"{found} that data.fraction={run.fraction:g} leaves of the {whole} of {run.prepare.dataset}",
        f"Set data.fraction to at least {enough:g}, or {setting}, then submit again.",
    )
