"""A lease: the file by which one process says that it is at work on a run, so that no other is.

It names the holder by process id and start time, and is touched every few seconds. Where the reader shares the
holder's process table, that table decides whether the holder lives; elsewhere the age of the last touch does.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import secrets
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from noisewise.runs.files import read_json

TOUCH_SECONDS = 10
STALE_SECONDS = 90
WAIT_SECONDS = 0.5

_NO_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP}


class LeaseHeld(Exception):
    """Another living process is at work on the run."""


class Lease:
    """Held while the block runs; taken over from a holder that is dead.

    Raises:
        LeaseHeld: the holder lives.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._holder: dict[str, Any] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._touch, daemon=True)

    def __enter__(self) -> Lease:
        pid = os.getpid()
        self._holder = {"host": socket.gethostname(), "place": _place(), "pid": pid, "started": _started(pid)}
        mine = self.path.with_name(f".lease.{secrets.token_hex(8)}")
        try:
            mine.write_text(json.dumps(self._holder))
            while not (self._take_free(mine) or self._take_over(mine)):
                pass  # it changed hands while we looked
        finally:
            mine.unlink(missing_ok=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        if _read(self.path) == self._holder:
            self.path.unlink()

    def _take_free(self, mine: Path) -> bool:
        """Take a lease that nobody has: of two that link, one succeeds, on NFS too."""
        try:
            os.link(mine, self.path)
        except FileExistsError:
            return False
        return True

    def _take_over(self, mine: Path) -> bool:
        """Replace a dead holder's lease under a lock on that very file, so that nobody replaces a newer one."""
        try:
            with self.path.open("r+") as old:
                _lock(old.fileno(), self.path)
                if not os.path.samestat(os.fstat(old.fileno()), os.stat(self.path)):
                    return False
                if alive(self.path):
                    raise LeaseHeld(f"{self.path.parent} is being worked on by {describe(self.path)}")
                os.replace(mine, self.path)
        except FileNotFoundError:
            return False
        return True

    def _touch(self) -> None:
        while not self._stop.wait(TOUCH_SECONDS):
            try:
                if _read(self.path) == self._holder:
                    os.utime(self.path)
            except OSError:  # a full or absent file system must not end the training
                continue


def make_once(product: Path, lease: Path, make: Callable[[], None], on_wait: Callable[[], None] | None = None) -> None:
    """Make what is not there under a lease, or wait until another process has made it.

    Where the other fails, this one tries. Two make at once only where a holder on another machine has slept for so
    long that its lease was taken over.

    Args:
        make: leaves `product`. on_wait: called every half second while another holds the lease.
    """
    while not product.exists():
        try:
            with Lease(lease):
                if not product.exists():
                    make()
        except LeaseHeld:
            if on_wait:
                on_wait()
            time.sleep(WAIT_SECONDS)


def alive(path: Path) -> bool:
    """Whether a lease is there and its holder lives."""
    try:
        holder, age = _read(path), time.time() - path.stat().st_mtime
    except (FileNotFoundError, NotADirectoryError):
        return False
    if holder is None:
        return False
    if holder.get("place") == _place():
        return _started(holder["pid"]) == holder["started"]
    return age < STALE_SECONDS


def describe(path: Path) -> str:
    """The holder in words."""
    holder = _read(path)
    return f"process {holder['pid']} on {holder['host']}" if holder else "nobody"


def _lock(handle: int, path: Path) -> None:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise LeaseHeld(f"{path.parent} is being taken over by another process at this moment") from None
    except OSError as error:
        if error.errno not in _NO_LOCKS:  # some parallel file systems are mounted without; then two may collide
            raise


def _read(path: Path) -> dict[str, Any] | None:
    try:
        holder = read_json(path)
    except ValueError:
        return None
    return holder if isinstance(holder, dict) and {"pid", "host", "started"} <= holder.keys() else None


def _place() -> str:
    """Names a process table: a boot of a machine, and the namespace of process ids (containers may have their own)."""
    return f"{Path('/proc/sys/kernel/random/boot_id').read_text().strip()} {os.readlink('/proc/self/ns/pid')}"


def _started(pid: int) -> str | None:
    """The start time of a process in clock ticks since boot, None if it is gone: a reused pid differs in it."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    after_name = stat[stat.rindex(")") + 2 :].split()
    return None if after_name[0] == "Z" else after_name[19]
