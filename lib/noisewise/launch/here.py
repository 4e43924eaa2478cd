"""One run and all that it stands on, in this process, here and now; under torchrun, in all its processes."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from noisewise import cli
from noisewise.errors import RunError, UserError
from noisewise.launch.payload import DONE, ELSEWHERE, execute
from noisewise.launch.progress import make_progress
from noisewise.launch.submit import commit
from noisewise.runs.config import Prepare, Run, ancestors
from noisewise.runs.folder import RunFolder, Settings
from noisewise.train.control import INTERRUPTED, Control

TELL_SECONDS = 0.5  # between two looks at how far a run is


def run_here_and_now(
    run: Run, root: Path, settings: Settings, more: Callable[[RunFolder], list[str]] | None = None
) -> int:
    """Execute the run's ancestors that are not done, then the run; prints its result, returns the exit status.

    more: what else to do with the folder of the run once that is done, also if it was before; lines to print.
    """
    from noisewise.train.ranks import joined

    chain = list({each.key: each for each in (*ancestors(run), run)}.values())
    control = Control().listen()
    try:
        with joined(settings.device) as ranks:
            if ranks.first:
                commit(chain, root, settings)
                _forget_lost_packs(chain, root, settings)
            was_done = RunFolder.of(root, run).result.exists()
            ranks.barrier()
            status = _in_turn(chain, root, control, ranks)
            if status == cli.DONE and ranks.first:
                _show(run, RunFolder.of(root, run).glance(), was_done)
                if more:
                    print("\n".join(more(RunFolder.of(root, run))))
            return status
    except RunError as error:
        raise UserError(f"{error.message}. {error.advice}") from None


def _in_turn(chain: list[Run], root: Path, control: Control, ranks: Any) -> int:
    for each in chain:
        folder = RunFolder.of(root, each)
        if ranks.any(folder.result.exists()):
            continue
        if ranks.first:
            print(f"{each.stage} {each.name}  ({folder.path})", flush=True)
        with _telling(each, folder, ranks.first):
            code = execute(folder, control, ranks)
        if code == INTERRUPTED:
            raise KeyboardInterrupt
        if code == ELSEWHERE:
            print(f"another process is at work on {folder.path}; wait for it, or stop it, and type this again.")
            return cli.SOME_FAILED
        if code != DONE:
            return cli.SOME_FAILED
    return cli.DONE


@contextmanager
def _telling(run: Run, folder: RunFolder, first: bool) -> Iterator[None]:
    """How far the run is, while the block runs: a bar on a terminal, elsewhere a line now and then."""
    if not first:
        yield
        return
    ended = threading.Event()
    with make_progress(1) as progress:

        def tell() -> None:
            while not ended.wait(TELL_SECONDS):
                progress.update([(run, folder)])

        teller = threading.Thread(target=tell, daemon=True)
        teller.start()
        try:
            yield
        finally:
            ended.set()
            teller.join()


def _forget_lost_packs(chain: list[Run], root: Path, settings: Settings) -> None:
    """A preparation whose pack is gone from the data folder is to be done again."""
    from noisewise.data.pack import MANIFEST, pack_folder

    for each in chain:
        if isinstance(each, Prepare) and not (pack_folder(Path(settings.data), each) / MANIFEST).exists():
            RunFolder.of(root, each).result.unlink(missing_ok=True)


def _show(run: Run, result: Mapping[str, Any], was_done: bool) -> None:
    """Print the summary of a pack, or a result's plain values, one a line."""
    if isinstance(run, Prepare):
        _show_pack(result, was_done)
        return
    for name, value in result.items():
        if not isinstance(value, (list, dict)):
            print(f"  {name:<24} {value:.4f}" if isinstance(value, float) else f"  {name:<24} {value}")


def _show_pack(result: Mapping[str, Any], was_done: bool) -> None:
    from noisewise.data.pack import MANIFEST, Pack
    from noisewise.data.summary import describe

    pack = Pack.open(Path(result["pack"]))
    print("\n".join(describe(pack)))
    if was_done:
        made = time.strftime("%Y-%m-%d %H:%M", time.localtime((pack.folder / MANIFEST).stat().st_mtime))
        print(f"it was made on {made}; images that changed since are not in it: to make it again, remove it first")
    else:
        print(f"made in   {result['seconds']:.1f} s")
