"""The host-side task: what submitit starts, once a rank. It starts the payload and stands between it and the scheduler.

It needs no torch and runs outside any container. Signals end here: a request to stop reaches the payload over its
standard input, which also closes when this process dies, so that no payload outlives its task for long.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from submitit import JobEnvironment

from noisewise.launch.command import payload_command
from noisewise.launch.environment import payload_environment
from noisewise.runs.failure import from_exit
from noisewise.runs.files import write_json
from noisewise.runs.folder import RunFolder

SPOKEN_FOR = (0, 1, 75, 76)  # exit statuses by which a payload says how it ended
STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGURG)


@dataclass
class RunTask:
    """One rank of one run; called by submitit, returns the payload's exit status.

    folder: the run's folder. submission: differs between submissions, so that no two attempts meet in one rendezvous.
    """

    folder: str
    submission: str

    def __call__(self) -> int:
        folder, job = RunFolder(self.folder), JobEnvironment()
        folder.log.mkdir(parents=True, exist_ok=True)
        killed_before = _oom_kills()
        with open(folder.log / f"rank{job.global_rank}.log", "ab") as log:
            payload = subprocess.Popen(
                payload_command(folder.path),
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=payload_environment(os.environ, job, self._rendezvous(folder)),
                start_new_session=True,  # a terminal's Ctrl-C goes to whole groups; the payload is asked instead
            )
            _pass_on_stops(payload)
            code = payload.wait()
        if code not in SPOKEN_FOR and not folder.result.exists() and not folder.failure.exists():
            failure = from_exit(code, oom_killed=code == -signal.SIGKILL and _oom_kills() > killed_before)
            write_json(folder.failure, failure.to_dict())
        return code

    def _rendezvous(self, folder: RunFolder) -> Path:
        """A file where the ranks of this attempt meet, and no other attempt ever does."""
        restart = os.environ.get("SLURM_RESTART_COUNT", "0")
        return (folder.log / f"rendezvous-{self.submission}-{restart}").resolve()


def _pass_on_stops(payload: subprocess.Popen) -> None:
    def ask(_number: int, _frame: FrameType | None) -> None:
        with contextlib.suppress(OSError):  # it has left already
            os.write(payload.stdin.fileno(), b"stop\n")

    for number in STOP_SIGNALS:
        signal.signal(number, ask)


def _oom_kills() -> int:
    """How often the kernel has killed for want of memory since it booted."""
    try:
        lines = Path("/proc/vmstat").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("oom_kill ")), 0)
