"""Preparation as a run: images into a pack, with its progress in metrics.jsonl."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from noisewise.data.prepare import prepare
from noisewise.runs.config import Prepare
from noisewise.runs.folder import RunFolder, Settings
from noisewise.track import Tracker

SAY_EVERY = 0.5  # seconds between progress lines


def prepare_run(run: Prepare, folder: RunFolder, settings: Settings) -> dict[str, Any]:
    """Prepare the pack under the data folder, unless it is there; returns what goes into `result.json`."""
    tracker = Tracker(folder, run, replace(settings, wandb="off"))
    tracker.rewind(0)
    said = 0.0

    def on_progress(done: int, total: int) -> None:
        nonlocal said
        if done == total or time.monotonic() - said > SAY_EVERY:
            said = time.monotonic()
            tracker.log(images=done, of=total)

    try:
        pack = prepare(run, Path(settings.data), on_progress)
    finally:
        tracker.close()
    return {
        "images": len(pack.labels),
        "classes": pack.classes,
        "per_split": {
            split: np.bincount(pack.labels[pack.indices(split)], minlength=len(pack.classes)).tolist()
            for split in ("train", "val", "test")
        },
        "pack": str(pack.folder),
    }
