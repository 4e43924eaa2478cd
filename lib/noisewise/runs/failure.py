"""Why a run failed, in seven classes, and what to do about each."""

from __future__ import annotations

import errno
import signal
import traceback
from dataclasses import asdict, dataclass
from typing import Any

from noisewise.errors import RunError, UserError

KINDS = ("config", "data", "oom", "nan", "collapse", "node", "bug")

ADVICE = {
    "config": "Mend the setting that the message names, then submit the grid again.",
    "data": "Mend the file that the message names, then submit the grid again.",
    "oom": "Set the recipe's accumulate=2 or more (the same batch, computed in parts), a smaller batch or resolution, "
    "or ask for more memory, then submit the grid again.",
    "nan": "Lower the recipe's lr (bias_lr too, if it has one), or set precision=fp32, then submit the grid again.",
    "collapse": "Lower the recipe's lr or give it a larger batch, then submit the grid again.",
    "node": "Nothing is wrong with the run: submit the grid again, it goes on from its last checkpoint.",
    "bug": "Please report it with the traceback in the run's log; submitting the grid again retries it.",
}

_CRASHES = {signal.SIGSEGV, signal.SIGABRT, signal.SIGFPE, signal.SIGILL}  # a process does these to itself
_OOM_WORDS = ("DefaultCPUAllocator: can't allocate memory", "CUBLAS_STATUS_ALLOC_FAILED", "CUDNN_STATUS_ALLOC_FAILED")
_NODE_ERRNO = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.ESTALE}


@dataclass(frozen=True)
class Failure:
    """What `failure.json` holds."""

    kind: str
    message: str
    advice: str
    traceback: str = ""

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def classify(error: BaseException) -> Failure:
    """The failure that an exception in a payload stands for."""
    trace = "".join(traceback.format_exception(error))
    if isinstance(error, RunError):
        return Failure(error.kind, error.message, error.advice, trace)
    if isinstance(error, UserError):
        return Failure("config", str(error), ADVICE["config"], trace)
    kind = _kind_of(error)
    message = f"{type(error).__name__}: {error}"
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return Failure(kind, message, "Free some space or quota, then submit the grid again: it resumes.", trace)
    return Failure(kind, message, ADVICE[kind], trace)


def from_exit(code: int, oom_killed: bool) -> Failure:
    """The failure of a payload that ended without a word: killed by a signal, or by the interpreter.

    Args:
        code: exit status; negative for a signal, as in `subprocess`.
        oom_killed: whether the kernel's out-of-memory killer was at work meanwhile.
    """
    if oom_killed:
        return Failure("oom", "killed by the kernel for want of memory", ADVICE["oom"])
    number = -code if code < 0 else code - 128  # a container's or shell's way of saying the same
    if number in _CRASHES:
        return Failure("bug", f"crashed with signal {number}; see its log", ADVICE["bug"])
    if number > 0:
        return Failure("node", f"killed by signal {number}, from outside", ADVICE["node"])
    return Failure("bug", f"ended with exit status {code} and no word; see its log", ADVICE["bug"])


def _kind_of(error: BaseException) -> str:
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return "oom"
    if any(words in str(error) for words in _OOM_WORDS) or getattr(error, "errno", None) == errno.ENOMEM:
        return "oom"
    if isinstance(error, OSError) and error.errno in _NODE_ERRNO:
        return "node"
    if isinstance(error, (FileNotFoundError, PermissionError)):
        return "data"
    return "bug"
