"""wandb as a mirror of a run's `metrics.jsonl`.

wandb lives in a process of its own that follows the file. In a thread of the training process it would hold up the
exit of that process (10 s after an offline run, up to half a minute after one without a server) and share its
interpreter lock. As it is, a wandb that hangs, raises, is not installed or fills the disk never meets the training:
the file is the queue, nothing waits, nothing is dropped. A killed training closes the pipe, and the mirror ends in
order by itself.

    python -m noisewise.mirror    started by `Mirror`; reads its order, later the summary, from standard input
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from noisewise.runs.config import Run, to_dict
from noisewise.runs.folder import RunFolder, Settings

FOLLOW_SECONDS = 1.0  # between looks at the file
CLOSE_SECONDS = {"offline": 10.0, "online": 30.0}  # how long `close` waits
INIT_SECONDS = 30  # for a server's first answer


class Mirror:
    """The training's handle on the mirroring process. No method raises for what wandb does, or waits, but `close`."""

    def __init__(self, folder: RunFolder, run: Run, settings: Settings) -> None:
        self._order = {
            "metrics": str(folder.metrics),
            "mode": settings.wandb,
            "init": {
                "project": settings.wandb_project,
                "id": run.key,  # the same wandb run over all attempts
                "name": run.name,
                "group": settings.group or None,
                "job_type": run.stage,
                "config": to_dict(run),
            },
        }
        self._mode = settings.wandb
        self._begun = False
        self._problem = ""
        self._process = self._start(folder)

    def begin(self, offset: int) -> None:
        """Mirror the file from byte `offset` on; every call but the first does nothing."""
        if self._begun or self._process is None:
            return
        self._begun = True
        try:
            self._process.stdin.write(json.dumps({**self._order, "offset": offset}).encode() + b"\n")
        except OSError as error:
            self._problem = f"its process is gone: {error}"

    def close(self, summary: Mapping[str, Any] | None) -> None:
        """Give the mirror a few seconds to catch up, then end it; one line on stderr if anything is missing."""
        if self._process:
            self._hear(json.dumps(summary).encode() if self._begun else b"")
        if self._problem:
            print(f"wandb ({self._mode}): {self._problem}. metrics.jsonl has everything.", file=sys.stderr)

    def _start(self, folder: RunFolder) -> subprocess.Popen | None:
        try:
            folder.log.mkdir(exist_ok=True)
            with (folder.log / "wandb.log").open("ab") as log:
                return subprocess.Popen(
                    [sys.executable, "-m", "noisewise.mirror"],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=log,
                    bufsize=0,
                    env=_environment(folder),
                    start_new_session=True,  # no terminal to ask for a login on, and no Ctrl-C from it
                )
        except OSError as error:
            self._problem = f"could not be started: {error}"
            return None

    def _hear(self, last_word: bytes) -> None:
        limit = CLOSE_SECONDS[self._mode]
        try:
            told, _ = self._process.communicate(last_word, timeout=limit)
            self._problem = self._problem or told.decode() or self._silence(self._process.returncode)
        except subprocess.TimeoutExpired:
            self._problem = f"still busy after {limit:g} s, so it was ended"
        self._end()

    def _silence(self, status: int) -> str:
        return f"ended with status {status}; see log/wandb.log" if status else ""

    def _end(self) -> None:
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.communicate()


def _environment(folder: RunFolder) -> dict[str, str]:
    """The mirror's environment: this package importable, and wandb's files in the run's folder, not in the home."""
    own = folder.path / "wandb"
    package_root = str(Path(__file__).resolve().parents[1])
    values = {
        "PYTHONPATH": os.pathsep.join(filter(None, (package_root, os.environ.get("PYTHONPATH")))),
        "WANDB_DIR": str(folder.path),  # wandb appends wandb/ itself
        "WANDB_CACHE_DIR": str(own / "cache"),
        "WANDB_DATA_DIR": str(own / "data"),
        "WANDB_ARTIFACT_DIR": str(own / "artifacts"),
        "WANDB_SILENT": "true",
        "WANDB_ERROR_REPORTING": "false",
    }
    if not os.path.isdir(os.path.expanduser("~/.config/wandb")):  # a server or team that the user has chosen lies there
        values["WANDB_CONFIG_DIR"] = os.environ.get("WANDB_CONFIG_DIR", str(own / "config"))
    return os.environ | values


def main() -> None:
    """The mirroring process: follows the file until its standard input ends; tells problems on its standard output."""
    order = sys.stdin.buffer.readline()
    if not order:
        return
    answer = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what wandb prints belongs in the log
    answer.write(_mirror(json.loads(order)))
    answer.close()


def _mirror(order: dict[str, Any]) -> str:
    """Mirror one run to its end; returns what went wrong, in one line, or nothing."""
    try:
        run, problem = _init(order)
    except Exception as error:
        return f"nothing was mirrored: {_line(error)}"
    last_word: list[bytes] = []
    listener = threading.Thread(target=lambda: last_word.append(sys.stdin.buffer.read()), daemon=True)
    listener.start()
    lost = 0
    for record in _follow(Path(order["metrics"]), order["offset"], listener):
        try:
            run.log(_loggable(record, Path(order["metrics"]).parent))
        except Exception as error:
            lost, problem = lost + 1, f"{lost + 1} records were not mirrored: {_line(error)}"
    summary = json.loads(last_word[0] or b"null")
    try:
        run.summary.update(summary or {})
        run.finish(exit_code=1 if summary is None else 0)
    except Exception as error:
        problem = problem or f"its run was not closed: {_line(error)}"
    return problem


def _loggable(record: dict[str, Any], folder: Path) -> dict[str, Any]:
    """A record as wandb takes it: without nulls, its pictures (name -> file below the run's folder) as images."""
    import wandb

    values = {name: value for name, value in record.items() if value is not None}
    pictures = values.pop("pictures", {})
    return values | {name: wandb.Image(str(folder / file)) for name, file in pictures.items()}


def _init(order: dict[str, Any]) -> tuple[Any, str]:
    """wandb's run, and a problem if it is offline for want of a server."""
    import wandb

    settings = wandb.Settings(
        silent=True,
        console="off",
        disable_code=True,
        disable_git=True,
        init_timeout=INIT_SECONDS,
        x_stats_pid=os.getppid(),
        x_transaction_log_flush_interval=1,  # the default of 15 s is what a kill would lose
    )
    init, problem = order["init"], ""
    try:
        run = wandb.init(**init, mode=order["mode"], resume="allow", settings=settings)
    except Exception as error:
        if order["mode"] == "offline":
            raise
        problem = f"kept offline in the run's folder, jobs/sync.py uploads it: {_line(error)}"
        run = wandb.init(**init, mode="offline", settings=settings)
    # wandb's own step cannot go back, as ours does when a run resumes from its checkpoint.
    run.define_metric("*", step_metric="epoch")
    return run, problem


def _follow(path: Path, offset: int, listener: threading.Thread) -> Iterator[dict[str, Any]]:
    """The records from byte `offset` on, as they come, until the listener has ended and the file is read up."""
    with path.open("rb") as file:
        file.seek(offset)
        half, more = b"", True
        while more:
            listener.join(FOLLOW_SECONDS)
            more = listener.is_alive()  # asked before reading, so that the last line is read
            *lines, half = (half + file.read()).split(b"\n")
            yield from map(json.loads, lines)


def _line(error: Exception) -> str:
    """An error in one line."""
    return " ".join(f"{type(error).__name__}: {error}".split()).rstrip(".")


if __name__ == "__main__":
    main()
