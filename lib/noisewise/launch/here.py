"""One run and all that it stands on, in this process, here and now; under torchrun, in all its processes."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from noisewise import cli
from noisewise.errors import RunError, UserError
from noisewise.launch.payload import DONE, ELSEWHERE, execute
from noisewise.launch.submit import commit
from noisewise.runs.config import Run, ancestors
from noisewise.runs.folder import RunFolder, Settings
from noisewise.train.control import INTERRUPTED, Control


def run_here_and_now(run: Run, root: Path, settings: Settings) -> int:
    """Execute the run's ancestors that are not done, then the run; returns the command's exit status."""
    from noisewise.train.ranks import joined

    chain = list({each.key: each for each in (*ancestors(run), run)}.values())
    control = Control().listen()
    try:
        with joined(settings.device) as ranks:
            if ranks.first:
                commit(chain, root, settings)
            ranks.barrier()
            return _in_turn(chain, root, control, ranks)
    except RunError as error:
        raise UserError(f"{error.message}. {error.advice}") from None


def _in_turn(chain: list[Run], root: Path, control: Control, ranks: Any) -> int:
    for each in chain:
        folder = RunFolder.of(root, each)
        if folder.result.exists():
            continue
        if ranks.first:
            print(f"{each.stage} {each.name}  ({folder.path})", flush=True)
        code = execute(folder, control, ranks)
        if code == INTERRUPTED:
            raise KeyboardInterrupt
        if code == ELSEWHERE:
            raise UserError(f"another process is at work on {folder.path}; wait for it, or stop it.")
        if code != DONE:
            return cli.SOME_FAILED
    return cli.DONE


def show(result: Mapping[str, Any] | None) -> None:
    """Print a result's plain values, one a line."""
    for name, value in (result or {}).items():
        if not isinstance(value, (list, dict)):
            print(f"  {name:<24} {value:.4f}" if isinstance(value, float) else f"  {name:<24} {value}", file=sys.stdout)
