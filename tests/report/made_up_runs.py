"""A runs folder made up: fine-tuning runs as values, and the results that they might have left."""

from __future__ import annotations

import json
from pathlib import Path

from noisewise.report.collect import Row
from noisewise.runs.config import Finetune, Noise, Prepare, Pretrain, Run, Source
from noisewise.runs.files import write_json
from noisewise.runs.folder import RunFolder, Settings
from noisewise.runs.methods import METHODS, SimCLR

CLASSES = ["mono, whole", "mono, broken", "poly, whole", "poly, broken"]


def finetune(
    init="random", method="cross_entropy", rate=0.5, seed=0, dataset="elpv", noise="symmetric", fraction=1.0
) -> Finetune:
    prepare = Prepare(dataset=dataset, source=Source(root=dataset), size=32)
    if init == "simclr":
        init = Pretrain(prepare, "simclr", SimCLR(resolution=32), seed=seed, fraction=fraction)
    noise = Noise(noise, rate, seed)
    return Finetune(prepare, method, METHODS["finetune"][method](resolution=32), noise, init, seed, fraction=fraction)


def result(f1_best=0.6, f1_last=0.5, **other) -> dict:
    values = {
        "f1_best": f1_best,
        "f1_last": f1_last,
        "accuracy_best": 0.62,
        "accuracy_last": 0.52,
        "balanced_accuracy_best": 0.61,
        "auroc_best": 0.8,
        "best_epoch": 7,
        "epochs": 12,
        "realised_rate": 0.49,
        "gpu_seconds": 0.0,
        "wall_seconds": 95.5,
        "images_per_second": 210.0,
        "val_f1_best": 0.63,
        "f1_per_class_best": [0.7, 0.5, 0.6, None],
        "confusion_best": [[150, 20, 30, 5], [20, 40, 5, 10], [30, 5, 120, 12], [4, 12, 20, 41]],
        "classes": CLASSES,
        "balanced_accuracy_last": 0.51,
        "auroc_last": 0.75,
        "ece_best": 0.05,
        "ece_last": 0.21,
        "memorised_best": 0.12,
        "memorised_last": 0.83,
        "wrong_found_precision_best": 0.74,
        "wrong_found_recall_best": 0.88,
        "wrong_found_precision_last": 0.9,
        "wrong_found_recall_last": 0.17,
        "selected_by": "clean",
        "train_images": 1706,
        "test_images": 524,
    }
    return values | other


def finish(root: Path, run: Run, **scores) -> RunFolder:
    folder = RunFolder.of(root, run)
    folder.create(run, Settings())
    write_json(folder.result, result(**scores))
    versions = {"python": "3.12.1", "torch": "2.14.1", "noisewise": "0.1.0"}
    values = {"git_commit": "3f9a2c1", "git_dirty": False, "versions": versions, "host": "node1", "gpu": None}
    write_json(folder.provenance, values | {"wall_seconds": 95.5, "gpu_seconds": 0.0})
    return folder


def fail(root: Path, run: Run, **failure) -> RunFolder:
    folder = RunFolder.of(root, run)
    folder.create(run, Settings())
    values = {"kind": "oom", "message": "out of memory at step 3", "advice": "Set a smaller batch.", "traceback": ""}
    write_json(folder.failure, values | failure)
    return folder


def row(init="random", method="cross_entropy", f1=0.5, last=None, seed=0, rate=0.5, state="done", **other) -> Row:
    """A row of results.csv; without a score where it is not done."""
    known = dict.fromkeys(Row.__dataclass_fields__) | {"fraction": 1.0, "train": "all"}
    if state == "done":
        known |= {"f1_best": f1, "f1_last": f1 - 0.1 if last is None else last, "realised_rate": 0.49}
    where = {"dataset": "elpv", "backbone": "resnet18", "noise": "symmetric", "rate": rate, "resolution": 32}
    named = {"key": f"{init}{method}{rate}{seed}", "init": init, "method": method, "seed": seed, "state": state}
    return Row(**(known | where | named | other))


def cut_in_half(path: Path) -> None:
    text = path.read_text()
    assert json.loads(text)
    path.write_text(text[: len(text) // 2])
