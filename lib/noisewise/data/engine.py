"""Preparation as a run: images into a pack, with its progress in metrics.jsonl."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from noisewise.data.pack import Pack, pack_folder
from noisewise.data.prepare import prepare
from noisewise.data.thumbnails import thumbnails
from noisewise.evaluate.difficulty import separability
from noisewise.evaluate.features import probe_images
from noisewise.runs.config import Prepare
from noisewise.runs.folder import RunFolder, Settings
from noisewise.track import Tracker
from noisewise.train.control import Control, Interrupted
from noisewise.train.ranks import Ranks

SAY_EVERY = 0.5  # seconds between progress lines


def open_pack(run: Prepare, settings: Settings, ranks: Ranks) -> Pack:
    """The pack that a training stands on; the first rank makes it anew if it is gone from the data folder."""
    data = Path(settings.data)
    if ranks.first:
        prepare(run, data)
    ranks.barrier()
    return Pack.open(pack_folder(data, run))


def prepare_run(run: Prepare, folder: RunFolder, settings: Settings, control: Control) -> dict[str, Any]:
    """Prepare the pack under the data folder, unless it is there; returns what goes into `result.json`.

    thumbnail_separability: how far apart the classes are by their training images' colours alone
        (`noisewise.evaluate.difficulty`), a measure that is the same for all grids.

    Raises:
        Interrupted: stopped on request; what was converted so far is kept for the next attempt.
    """
    tracker = Tracker(folder, run, replace(settings, wandb="off"))
    tracker.rewind(0)
    said = 0.0

    def on_progress(done: int, total: int) -> None:
        nonlocal said
        if control.asked:
            raise Interrupted
        if not said and done > 1:
            print(f"goes on: {done:,} of {total:,} images were converted before", flush=True)
        if done == total or time.monotonic() - said > SAY_EVERY:
            said = time.monotonic()
            tracker.log(images=done, of=total)

    began = time.monotonic()
    try:
        pack = prepare(run, Path(settings.data), on_progress)
    finally:
        tracker.close()
    shown, _ = probe_images(pack)
    return {
        "images": len(pack),
        "rejected": pack.manifest["rejected"],
        "classes": pack.classes,
        "per_split": pack.manifest["per_split"],
        "notes": pack.manifest["notes"],
        "thumbnail_separability": separability(thumbnails(pack, shown), pack.labels[shown]),
        "manifest": pack.manifest["hash"],
        "pack": str(pack.folder),
        "bytes": pack.beton.stat().st_size,
        "seconds": time.monotonic() - began,
    }
