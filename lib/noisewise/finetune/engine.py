"""Fine-tuning on noisy labels, whatever the method: images and labels in, a scored classifier out."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from noisewise.data.augment import Augmenter, evaluation_view
from noisewise.data.loader import ImageSource, open_images
from noisewise.data.noise import LabelSet, label_set
from noisewise.data.pack import Pack, pack_folder
from noisewise.evaluate.scores import score
from noisewise.evaluate.selection import best_and_last
from noisewise.finetune.method import FinetuneMethod
from noisewise.models.initial import build_encoder
from noisewise.runs.config import Finetune
from noisewise.runs.files import replacing
from noisewise.runs.folder import RunFolder, Settings
from noisewise.track import Tracker
from noisewise.train import checkpoint, order
from noisewise.train.control import Control
from noisewise.train.loop import Loop
from noisewise.train.precision import autocast
from noisewise.train.ranks import Ranks
from noisewise.train.seeds import seed_everything

EVALUATION_BATCH = 256


def finetune(run: Finetune, folder: RunFolder, settings: Settings, ranks: Ranks, control: Control) -> dict[str, Any]:
    """Train the run's method to the end, scoring each epoch; returns what goes into `result.json`.

    Leaves `model.pt` and `predictions.npz` (test probabilities and labels) of the epoch with the best clean-validation
    F1.

    Raises:
        Interrupted: stopped on request, after saving.
        RunError: in any of the classes of `noisewise.runs.failure`.
    """
    pack = Pack.open(pack_folder(Path(settings.data), run.prepare))
    train = pack.indices("train")
    noisy = label_set(pack, run.noise)
    method, loaded = _build(run, folder, settings, ranks, pack, noisy)
    tracker = Tracker(folder, run, settings) if ranks.first else None
    source = open_images(pack, ranks.device)
    try:
        place = Loop(
            method=method,
            recipe=run.recipe,
            seed=run.seed,
            order=lambda epoch: order.even_batches(len(train), run.recipe.batch, run.seed, epoch),
            images=lambda steps: source.batches([train[step] for step in steps]),
            end_epoch=lambda epoch, history: _end_epoch(run, folder, method, pack, source, ranks, history),
            folder=folder,
            settings=settings,
            ranks=ranks,
            control=control,
            tracker=tracker,
        ).run()
        if not tracker:
            return {}
        result = {
            **_final_scores(run, place.history, folder),
            "classes": pack.classes,
            "train_images": len(train),
            "test_images": len(pack.indices("test")),
            "realised_rate": noisy.realised_rate,
            "label_set": noisy.fingerprint,
            "initial_weights": loaded,
        }
        tracker.close(result)
        return result
    finally:
        source.close()
        if tracker:
            tracker.close()


def _build(
    run: Finetune, folder: RunFolder, settings: Settings, ranks: Ranks, pack: Pack, noisy: LabelSet
) -> tuple[FinetuneMethod, str]:
    """The method with its networks, on the device, and what was loaded into them."""
    seed_everything("initial weights", run.seed)
    loaded = []

    def network() -> nn.Module:
        encoder, what = build_encoder(run, folder, settings)
        loaded[:] = [what]
        return nn.Sequential(encoder, nn.Linear(encoder.out_features, len(pack.classes)))

    augment = Augmenter(run.recipe.augmentation, run.allowed, run.recipe.resolution, run.normalise)
    labels = torch.from_numpy(noisy.labels)
    module = import_module(f"noisewise.finetune.{run.method}")
    method = module.Method(run.recipe, network, augment, labels, run.noise, ranks)
    return method.to(ranks.device, memory_format=torch.channels_last), loaded[0]


def _end_epoch(
    run: Finetune,
    folder: RunFolder,
    method: FinetuneMethod,
    pack: Pack,
    source: ImageSource,
    ranks: Ranks,
    history: list[dict[str, Any]],
) -> dict[str, Any]:
    """Score on validation and test; keep the model and its predictions if validation has never been better."""
    ranks.same_buffers(method)
    scores, probabilities = {}, {}
    for split in ("val", "test"):
        indices = pack.indices(split)
        probabilities[split] = predict(run, method, source, indices, len(pack.classes), ranks)
        found = score(probabilities[split], pack.labels[indices])
        for name in ("f1", "accuracy", "balanced_accuracy", "auroc"):
            scores[f"{split}_{name}"] = getattr(found, name)
    if ranks.first and all(scores["val_f1"] > record["val_f1"] for record in history):
        checkpoint.save(folder.model, method.state_dict())
        with replacing(folder.predictions, "wb") as file:
            np.savez(file, probabilities=probabilities["test"], labels=pack.labels[pack.indices("test")])
    return scores


@torch.inference_mode()
def predict(
    run: Finetune, method: FinetuneMethod, source: ImageSource, indices: np.ndarray, classes: int, ranks: Ranks
) -> np.ndarray:
    """Class probabilities, float32 [n, classes], of the pack's samples `indices`; every rank does a part of them."""
    mine = indices[ranks.rows(len(indices))]
    steps = [mine[start : start + EVALUATION_BATCH] for start in range(0, len(mine), EVALUATION_BATCH)]
    parts = []
    for images in source.batches(steps):
        view = evaluation_view(images, run.recipe.resolution, run.normalise)
        with autocast(run.recipe.precision, ranks.device):
            parts.append(method.predict(view).float())
    found = torch.cat(parts) if parts else torch.empty(0, classes, device=ranks.device)
    return ranks.gather_rows(found, len(indices)).cpu().numpy()


def _final_scores(run: Finetune, history: list[dict[str, Any]], folder: RunFolder) -> dict[str, Any]:
    """Best and last scores, and the per-class ones at the best epoch."""
    with np.load(folder.predictions) as kept:
        found = score(kept["probabilities"], kept["labels"])
    return {
        **best_and_last(history, run.recipe.last_epochs),
        "val_f1_best": max(record["val_f1"] for record in history),
        "f1_per_class_best": found.f1_per_class,
        "confusion_best": found.confusion,
        "epochs": run.recipe.epochs,
    }
