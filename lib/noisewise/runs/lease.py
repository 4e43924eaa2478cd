"""A lease: the file by which one process says that it is at work on a run, so that no other is.

It holds host, process id and that process's start time, and is touched every few seconds. On the same host the
process table decides whether the holder lives; from another host, the age of the last touch.
"""

from __future__ import annotations

import json
import os
import socket
import threading
import time
from pathlib import Path
from typing import Any

from noisewise.runs.files import read_json

TOUCH_SECONDS = 10
STALE_SECONDS = 90


class LeaseHeld(Exception):
    """Another living process is at work on the run."""


class Lease:
    """Held while the block runs; taken over from a holder that is dead.

    Raises:
        LeaseHeld: the holder lives.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._touch, daemon=True)

    def __enter__(self) -> Lease:
        if alive(self.path):
            raise LeaseHeld(f"{self.path.parent} is being worked on by {describe(self.path)}")
        self._clear_dead()
        text = json.dumps({"host": socket.gethostname(), "pid": os.getpid(), "started": _started(os.getpid())})
        temporary = self.path.with_name(f".lease.{socket.gethostname()}.{os.getpid()}")
        temporary.write_text(text)
        try:
            os.link(temporary, self.path)  # fails if the lease exists: of two starters one wins, on NFS too
        except FileExistsError:
            raise LeaseHeld(f"{self.path.parent} was taken by {describe(self.path)} at the same moment") from None
        finally:
            temporary.unlink()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        self.path.unlink(missing_ok=True)

    def _clear_dead(self) -> None:
        """Move a dead holder's lease aside: of two that try, the rename succeeds for one."""
        aside = self.path.with_name(f".lease.dead.{socket.gethostname()}.{os.getpid()}")
        try:
            os.rename(self.path, aside)
        except FileNotFoundError:
            return
        aside.unlink()

    def _touch(self) -> None:
        while not self._stop.wait(TOUCH_SECONDS):
            try:
                os.utime(self.path)
            except OSError:  # a full or absent file system must not end the training
                continue


def alive(path: Path) -> bool:
    """Whether a lease is there and its holder lives."""
    try:
        holder, age = _read(path), time.time() - path.stat().st_mtime
    except FileNotFoundError:
        return False
    if holder is None:
        return False
    if holder["host"] == socket.gethostname():
        return _started(holder["pid"]) == holder["started"]
    return age < STALE_SECONDS


def describe(path: Path) -> str:
    """The holder in words."""
    holder = _read(path)
    return f"process {holder['pid']} on {holder['host']}" if holder else "nobody"


def _read(path: Path) -> dict[str, Any] | None:
    try:
        return read_json(path)
    except json.JSONDecodeError:
        return None


def _started(pid: int) -> str | None:
    """The start time of a process in clock ticks since boot, None if it is gone: a reused pid differs in it."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    after_name = stat[stat.rindex(")") + 2 :].split()
    return None if after_name[0] == "Z" else after_name[19]
