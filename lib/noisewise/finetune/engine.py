"""Fine-tuning on noisy labels, whatever the method: images and labels in, a scored classifier out."""

from __future__ import annotations

from contextlib import ExitStack, closing
from dataclasses import replace
from functools import partial
from importlib import import_module
from typing import Any

import numpy as np
import torch
from torch import nn

from noisewise.audit.engine import audit
from noisewise.data.augment import Augmenter
from noisewise.data.engine import open_pack
from noisewise.data.loader import open_images
from noisewise.data.noise import LabelSet, label_set
from noisewise.data.pack import Pack
from noisewise.data.subset import training_images
from noisewise.errors import RunError
from noisewise.evaluate.difficulty import separability
from noisewise.evaluate.features import probe_images
from noisewise.evaluate.passes import Pass
from noisewise.finetune.evaluator import Evaluator
from noisewise.finetune.groups import with_groups
from noisewise.finetune.initial_features import initial_features
from noisewise.finetune.method import FinetuneMethod
from noisewise.models.heads import Classifier
from noisewise.models.initial import build_encoder
from noisewise.runs.config import Finetune
from noisewise.runs.folder import RunFolder, Settings
from noisewise.runs.recipe import Recipe
from noisewise.track import Tracker
from noisewise.train.control import Control
from noisewise.train.loop import Loop
from noisewise.train.ranks import Ranks
from noisewise.train.seeds import seed_everything


def finetune(run: Finetune, folder: RunFolder, settings: Settings, ranks: Ranks, control: Control) -> dict[str, Any]:
    """Train the run's method to the end, scoring each epoch; returns what goes into `result.json`.

    Leaves `model.pt` and `predictions.npz` of the epoch with the best validation F1, `train_predictions.npz`
    (`Evaluator`), and `audit.csv`, the training labels in the order in which to doubt them. `separability` in the
    result is of the initial weights' features of training images.

    Raises:
        Interrupted: stopped on request, after saving.
        RunError: in any of the classes of `noisewise.runs.failure`.
    """
    pack = open_pack(run.prepare, settings, ranks)
    train = training_images(pack, run.fraction)
    _check_count(len(train), run.recipe, ranks)
    noise = with_groups(run.noise, pack, folder, settings, ranks)
    noisy = label_set(pack, noise, run.fraction)
    shown = np.sort(np.concatenate([train, pack.indices("val"), pack.indices("test")]))
    method, loaded = _build(run, folder, settings, ranks, pack.classes, noisy)
    with ExitStack() as stack:
        source = stack.enter_context(closing(open_images(pack, ranks.device, shown)))
        tracker = stack.enter_context(closing(Tracker(folder, run, settings))) if ranks.first else None
        look = partial(Pass.of(run, source, ranks).logits, train, len(pack.classes))
        evaluator = Evaluator(run, noise, folder, method, pack, source, ranks)
        place = Loop(
            method=method,
            recipe=run.recipe,
            seed=run.seed,
            order=lambda epoch: method.order(epoch, run.seed),
            images=lambda steps: source.batches([train[step] for step in steps]),
            begin_epoch=lambda epoch: method.begin_epoch(epoch, look),
            end_epoch=lambda epoch, history: evaluator.score_epoch(epoch),
            epoch_saved=evaluator.keep_best,
            folder=folder,
            settings=settings,
            ranks=ranks,
            control=control,
            tracker=tracker,
        ).run()
        findings = method.findings()  # of the last epoch: the method is the best one's after the next line
        evaluator.keep_training_predictions(train, noisy)
        features = initial_features(run, folder, settings, source, train, ranks)
        if not tracker:
            return {}
        result = {
            **evaluator.final_scores(place.history),
            **findings,
            "epochs": run.recipe.epochs,
            "classes": pack.classes,
            "train_images": len(train),
            "test_images": len(pack.indices("test")),
            "realised_rate": noisy.realised_rate,
            "label_set": noisy.fingerprint,
            "groups": noise.groups,
            "initial_weights": loaded,
            "separability": _separability(run, pack, train, features),
            **audit(folder, pack, features),
        }
        tracker.close(result)
        return result


def _check_count(count: int, recipe: Recipe, ranks: Ranks) -> None:
    """Refuse parts of a batch with fewer images than two a rank, which batch normalisation needs."""
    smallest, needed = count // max(1, -(-count // recipe.batch)), 2 * ranks.world * recipe.accumulate
    if smallest < needed:
        raise RunError(
            "config",
            f"{count} training images in batches of at most {recipe.batch} make one of {smallest}, too few for "
            f"{ranks.world} ranks and accumulate={recipe.accumulate}, which need {needed}",
            "Set accumulate lower, data.fraction or the recipe's batch higher, or use fewer processes a run, then "
            "submit again.",
        )


def _build(
    run: Finetune, folder: RunFolder, settings: Settings, ranks: Ranks, classes: list[str], noisy: LabelSet
) -> tuple[FinetuneMethod, str]:
    """The method with its networks, on the device, and what was loaded into them."""
    seed_everything("initial weights", run.seed)
    loaded = []

    def network() -> nn.Module:
        encoder, what = build_encoder(run, folder, settings)
        loaded[:] = [what]
        return Classifier(encoder, len(classes), frozen=run.recipe.train == "head")

    augment = Augmenter(run.recipe.augmentation, run.allowed, run.recipe.resolution, run.normalise)
    labels = torch.from_numpy(noisy.labels)
    module = import_module(f"noisewise.finetune.{run.method}")
    known = replace(run.noise, rate=noisy.realised_rate or 0.0)
    method = module.Method(run.recipe, network, augment, labels, len(classes), known, ranks)
    return method.to(ranks.device, memory_format=torch.channels_last), loaded[0]


def _separability(run: Finetune, pack: Pack, train: np.ndarray, features: np.ndarray) -> float | None:
    """How far apart features keep the classes, by the labels that scores go by (`noisewise.evaluate.difficulty`)."""
    judged = np.isin(train, probe_images(pack, run.fraction)[0])
    return separability(features[judged], pack.labels[train[judged]])
