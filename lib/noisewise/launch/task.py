"""The host-side task: what submitit starts, once a rank. It starts the payload and stands between it and the scheduler.

It needs no torch and runs outside any container. Signals end here: a request to stop reaches the payload over its
standard input, which also closes when this process dies, so that no payload outlives its task for long.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from submitit import JobEnvironment

from noisewise.launch.command import payload_command
from noisewise.launch.environment import payload_environment
from noisewise.runs.failure import Failure, classify, from_exit
from noisewise.runs.files import write_json
from noisewise.runs.folder import RunFolder

SPOKEN_FOR = (0, 75, 76)  # exit statuses by which a payload says all there is to say
KILLED = (-signal.SIGKILL, 128 + signal.SIGKILL)
STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGURG)
POLL_SECONDS = 1.0
GRACE_SECONDS = 30  # for a rank to leave when another has failed


@dataclass
class RunTask:
    """One rank of one run; called by submitit, returns the payload's exit status.

    folder: the run's folder. submission: differs between submissions, so that no two attempts meet in one rendezvous.
    gpus: the ids of the GPUs that the run may see; None leaves that to the scheduler.
    """

    folder: str
    submission: str
    gpus: tuple[str, ...] | None = None

    def __call__(self) -> int:
        folder, started = RunFolder(self.folder), time.time()
        try:
            return self._run(folder, started)
        except Exception as error:
            _write_failure(folder, classify(error), started)
            raise

    def _run(self, folder: RunFolder, started: float) -> int:
        job, killed_before = JobEnvironment(), _oom_kills()
        folder.log.mkdir(parents=True, exist_ok=True)
        with open(folder.log / f"rank{job.global_rank}.log", "ab") as log:
            payload = subprocess.Popen(
                payload_command(folder.path),
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=payload_environment(os.environ, job, self._rendezvous(folder), self.gpus),
                start_new_session=True,  # a terminal's Ctrl-C goes to whole groups; the payload is asked instead
            )
            _pass_on_stops(payload)
            code = _wait(payload, folder, started)
        if code not in SPOKEN_FOR and not folder.result.exists():
            oom = code in KILLED and _oom_kills() > killed_before
            _write_failure(folder, from_exit(code, oom_killed=oom), started)
        return code

    def _rendezvous(self, folder: RunFolder) -> Path:
        """A file where the ranks of this attempt meet, and no other attempt ever does."""
        restart = os.environ.get("SLURM_RESTART_COUNT", "0")
        return (folder.log / f"rendezvous-{self.submission}-{restart}").resolve()


def _wait(payload: subprocess.Popen, folder: RunFolder, started: float) -> int:
    """The payload's exit status. When another rank has failed, this one may wait for it for ever: it is ended."""
    kill_at = None
    while True:
        try:
            return payload.wait(timeout=POLL_SECONDS)
        except subprocess.TimeoutExpired:
            pass
        if kill_at is None and _fresh(folder.failure, started):
            kill_at = time.monotonic() + GRACE_SECONDS
            _ask_to_stop(payload)
        if kill_at is not None and time.monotonic() > kill_at:
            payload.kill()


def _fresh(path: Path, started: float) -> bool:
    """Whether a file was written since this task began; files of earlier attempts may still lie there."""
    try:
        return path.stat().st_mtime >= started
    except OSError:
        return False


def _write_failure(folder: RunFolder, failure: Failure, started: float) -> None:
    """Say why the run failed, unless somebody who knows better has."""
    if not _fresh(folder.failure, started):
        with contextlib.suppress(OSError):  # a full disk: the run then counts as lost
            write_json(folder.failure, failure.to_dict())


def _ask_to_stop(payload: subprocess.Popen) -> None:
    with contextlib.suppress(OSError):  # it has left already
        os.write(payload.stdin.fileno(), b"stop\n")


def _pass_on_stops(payload: subprocess.Popen) -> None:
    def ask(_number: int, _frame: FrameType | None) -> None:
        _ask_to_stop(payload)

    for number in STOP_SIGNALS:
        signal.signal(number, ask)


def _oom_kills() -> int:
    """How often the kernel has killed for want of memory since it booted."""
    try:
        lines = Path("/proc/vmstat").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("oom_kill ")), 0)
