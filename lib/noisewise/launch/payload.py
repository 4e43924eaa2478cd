"""The payload: one rank of one run, from its folder to its result.

    python -m noisewise.launch.payload RUN_FOLDER

Exit status: 0 done, 1 failed (failure.json says why), 75 stopped on request after saving, 76 another process is at
work on the run.
"""

from __future__ import annotations

import sys
from contextlib import ExitStack, nullcontext
from typing import Any

import torch

from noisewise.runs import provenance
from noisewise.runs.config import Finetune, Prepare, Pretrain, Run
from noisewise.runs.failure import classify
from noisewise.runs.files import remove_leftovers, write_json
from noisewise.runs.folder import RunFolder, Settings
from noisewise.runs.lease import Lease, LeaseHeld
from noisewise.train.control import INTERRUPTED, Control, Interrupted
from noisewise.train.ranks import Ranks, joined

DONE, FAILED, ELSEWHERE = 0, 1, 76
GO = -1


def execute(folder: RunFolder, control: Control, ranks: Ranks | None = None) -> int:
    """Run what the folder describes; returns the exit status.

    A run that is done, or that another process is at work on, is left alone: the first rank decides for all.

    Args:
        ranks: the processes that share the run, if they have joined already; else the environment says (`joined`).
    """
    try:
        settings = folder.read_settings()
        if settings.threads:
            torch.set_num_threads(settings.threads)
        with nullcontext(ranks) if ranks else joined(settings.device) as together, ExitStack() as stack:
            verdict = together.decide(_verdict(folder, stack) if together.first else GO)
            return _attempt(folder, settings, control, together) if verdict == GO else verdict
    except Exception as error:
        _report_failure(folder, error)
        return FAILED


def _verdict(folder: RunFolder, stack: ExitStack) -> int:
    """Take the run, for as long as `stack` is open; or say why not."""
    try:
        stack.enter_context(Lease(folder.lease))
    except LeaseHeld as error:
        print(f"left alone: {error}", file=sys.stderr)
        return ELSEWHERE
    return DONE if folder.result.exists() else GO


def _attempt(folder: RunFolder, settings: Settings, control: Control, ranks: Ranks) -> int:
    run = folder.read_run()
    if ranks.first:
        provenance.begin(folder)  # before failure.json goes: its age tells when the last attempt ended
        folder.failure.unlink(missing_ok=True)
        remove_leftovers(folder.path)
    try:
        result = _stage(run, folder, settings, ranks, control)
    except Interrupted:
        if ranks.first:
            provenance.end(folder, ranks.world, _gpus(ranks))
        return INTERRUPTED
    ranks.barrier()  # nobody leaves before the first rank has its files
    if ranks.first:
        seconds = provenance.end(folder, ranks.world, _gpus(ranks))
        write_json(folder.result, {"stage": run.stage, "key": run.key, "name": run.name, **result, **seconds})
        folder.checkpoint.unlink(missing_ok=True)
    return DONE


def _stage(run: Run, folder: RunFolder, settings: Settings, ranks: Ranks, control: Control) -> dict[str, Any]:
    if isinstance(run, Prepare):
        from noisewise.data.engine import prepare_run

        return prepare_run(run, folder, settings, control) if ranks.first else {}
    if isinstance(run, Pretrain):
        from noisewise.pretrain.engine import pretrain

        return pretrain(run, folder, settings, ranks, control)
    assert isinstance(run, Finetune)
    from noisewise.finetune.engine import finetune

    return finetune(run, folder, settings, ranks, control)


def _report_failure(folder: RunFolder, error: Exception) -> None:
    """Say why in failure.json and in the log; a disk too full for the file must not hide the reason."""
    failure = classify(error)
    if failure.kind == "bug":
        print(failure.traceback, file=sys.stderr)
    print(f"failed ({failure.kind}): {failure.message}\n{failure.advice}", file=sys.stderr)
    try:
        if not folder.failure.exists():  # of several ranks, the first to fail knows why; the others lost a peer
            write_json(folder.failure, failure.to_dict())
    except OSError as full:
        print(f"could not write {folder.failure}: {full}", file=sys.stderr)


def _gpus(ranks: Ranks) -> int:
    return ranks.world if ranks.device.type == "cuda" else 0


def main() -> int:
    if len(sys.argv) != 2:
        print("usage: python -m noisewise.launch.payload RUN_FOLDER", file=sys.stderr)
        return 2
    return execute(RunFolder(sys.argv[1]), Control().listen())


if __name__ == "__main__":
    sys.exit(main())
