"""The payload: one rank of one run, from its folder to its result.

    python -m noisewise.launch.payload RUN_FOLDER

Exit status: 0 done, 1 failed (failure.json says why), 75 stopped on request after saving, 76 another process is at
work on the run.
"""

from __future__ import annotations

import os
import sys
from contextlib import nullcontext
from typing import Any

from noisewise.errors import UserError
from noisewise.runs import provenance
from noisewise.runs.config import Finetune, Prepare, Pretrain, Run
from noisewise.runs.failure import classify
from noisewise.runs.files import remove_leftovers, write_json
from noisewise.runs.folder import RunFolder, Settings
from noisewise.runs.lease import Lease, LeaseHeld
from noisewise.train.control import INTERRUPTED, Control, Interrupted
from noisewise.train.ranks import Ranks

DONE, FAILED, ELSEWHERE = 0, 1, 76


def execute(folder: RunFolder, control: Control, ranks: Ranks | None = None) -> int:
    """Run what the folder describes; returns the exit status.

    A run that is done, or that another process is at work on, is left alone.

    Args:
        ranks: the processes that share the run, if they have joined already; else the environment says (`joined`).
    """
    if folder.result.exists():
        return DONE
    if not _first():
        return _attempt(folder, control, ranks)
    try:
        with Lease(folder.lease):
            return DONE if folder.result.exists() else _attempt(folder, control, ranks)
    except LeaseHeld as error:
        print(f"left alone: {error}", file=sys.stderr)
        return ELSEWHERE


def _attempt(folder: RunFolder, control: Control, ranks: Ranks | None) -> int:
    try:
        run, settings = folder.read_run(), folder.read_settings()
        if _first():
            provenance.begin(folder)  # before failure.json goes: its age tells when the last attempt ended
            folder.failure.unlink(missing_ok=True)
            remove_leftovers(folder.path)
        _train(run, folder, settings, control, ranks)
    except Interrupted:
        if _first():
            provenance.end(folder, _world(), _gpus())
        return INTERRUPTED
    except Exception as error:
        _report_failure(folder, error)
        return FAILED
    return DONE


def _train(run: Run, folder: RunFolder, settings: Settings, control: Control, ranks: Ranks | None) -> None:
    import torch

    from noisewise.train.ranks import joined

    if settings.threads:
        torch.set_num_threads(settings.threads)
    with nullcontext(ranks) if ranks else joined(settings.device) as together:
        result = _stage(run, folder, settings, together, control)
        together.barrier()  # nobody leaves before the first rank has its files
        if together.first:
            seconds = provenance.end(folder, _world(), _gpus())
            write_json(folder.result, {"stage": run.stage, "key": run.key, "name": run.name, **result, **seconds})
            folder.checkpoint.unlink(missing_ok=True)


def _stage(run: Run, folder: RunFolder, settings: Settings, ranks: Ranks, control: Control) -> dict[str, Any]:
    if isinstance(run, Prepare):
        from noisewise.data.engine import prepare_run

        return prepare_run(run, folder, settings) if ranks.first else {}
    if isinstance(run, Pretrain):
        from noisewise.pretrain.engine import pretrain

        return pretrain(run, folder, settings, ranks, control)
    assert isinstance(run, Finetune)
    from noisewise.finetune.engine import finetune

    return finetune(run, folder, settings, ranks, control)


def _report_failure(folder: RunFolder, error: Exception) -> None:
    """Say why in failure.json and in the log; a disk too full for the file must not hide the reason."""
    failure = classify(error)
    print(failure.traceback, file=sys.stderr)
    print(f"failed ({failure.kind}): {failure.message}\n{failure.advice}", file=sys.stderr)
    try:
        if not folder.failure.exists():  # of several ranks, the first to fail knows why; the others lost a peer
            write_json(folder.failure, failure.to_dict())
    except OSError as full:
        print(f"could not write {folder.failure}: {full}", file=sys.stderr)


def _first() -> bool:
    return int(os.environ.get("RANK", 0)) == 0


def _world() -> int:
    return int(os.environ.get("WORLD_SIZE", 1))


def _gpus() -> int:
    import torch

    return _world() if torch.cuda.is_initialized() else 0


def main() -> int:
    if len(sys.argv) != 2:
        print("usage: python -m noisewise.launch.payload RUN_FOLDER", file=sys.stderr)
        return 2
    try:
        return execute(RunFolder(sys.argv[1]), Control().listen())
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
