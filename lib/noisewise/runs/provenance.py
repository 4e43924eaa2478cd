"""Where a result comes from: code, versions, machine, and the seconds that every attempt took (`provenance.json`)."""

from __future__ import annotations

import os
import platform
import socket
import subprocess
import sys
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from noisewise.runs.files import read_json, write_json
from noisewise.runs.folder import RunFolder

PACKAGES = ("noisewise", "torch", "torchvision", "numpy", "ffcv", "submitit", "wandb", "omegaconf")
SLURM = (
    "SLURM_JOB_ID",
    "SLURM_ARRAY_JOB_ID",
    "SLURM_ARRAY_TASK_ID",
    "SLURM_RESTART_COUNT",
    "SLURM_JOB_PARTITION",
    "SLURM_JOB_NODELIST",
)
GIT_SECONDS = 10  # a checkout on a slow file system must not hold up a run


def begin(folder: RunFolder) -> None:
    """Note that an attempt begins, and with what. An earlier attempt without an end was killed: it gets one.

    A killed attempt is taken to have ended when the run's files were last written, so it is counted short by at most
    the time between two of its metrics lines or checkpoints.
    """
    attempts = _read(folder).get("attempts", [])
    for attempt in attempts:
        if "ended" not in attempt:
            _close(attempt, max(attempt["started"], _last_sign(folder)))
    attempts.append(_attempt())
    write_json(folder.provenance, {**collect(), **_totals(attempts), "attempts": attempts})


def end(folder: RunFolder, ranks: int, gpus: int) -> dict[str, float]:
    """Note that the attempt ends; returns `wall_seconds` and `gpu_seconds` over all attempts.

    Args:
        ranks: processes that worked on the run.
        gpus: GPUs that they had, all together. Killed attempts, which could not say, are taken to have had as many.
    """
    values = _read(folder)
    attempts = values.get("attempts") or [_attempt()]
    _close(attempts[-1], time.time())
    attempts[-1]["ranks"] = ranks
    for attempt in attempts:
        attempt.setdefault("gpu_seconds", round(attempt["wall_seconds"] * gpus, 1))
    totals = _totals(attempts)
    write_json(folder.provenance, {**values, "gpu": _gpu(), **totals, "attempts": attempts})
    return totals


def collect() -> dict[str, Any]:
    """The facts about code, versions and machine; None for what cannot be known. Imports nothing heavy."""
    return {
        **_git(),
        "versions": {"python": platform.python_version(), **_versions()},
        "host": socket.gethostname(),
        "platform": platform.platform(),
        "cpu": _cpu(),
        "cores": len(os.sched_getaffinity(0)),
        "gpu": _gpu(),
        "image": os.environ.get("APPTAINER_CONTAINER"),
        "image_digest": os.environ.get("NOISEWISE_IMAGE_DIGEST"),
        "slurm": {name: os.environ[name] for name in SLURM if name in os.environ},
    }


def _read(folder: RunFolder) -> dict[str, Any]:
    """What the file holds; a file that is damaged or gone must not cost a result."""
    try:
        return read_json(folder.provenance) or {}
    except ValueError:
        return {}


def _attempt() -> dict[str, Any]:
    return {"started": time.time(), "host": socket.gethostname(), "pid": os.getpid()}


def _close(attempt: dict[str, Any], ended: float) -> None:
    attempt |= {"ended": ended, "wall_seconds": round(ended - attempt["started"], 1)}


def _totals(attempts: list[dict[str, Any]]) -> dict[str, float]:
    names = ("wall_seconds", "gpu_seconds")
    return {name: round(sum(attempt.get(name, 0.0) for attempt in attempts), 1) for name in names}


def _last_sign(folder: RunFolder) -> float:
    """When the run's files were last written, Unix seconds; 0 if there are none."""
    files = (folder.metrics, folder.checkpoint, folder.failure)
    return max((path.stat().st_mtime for path in files if path.exists()), default=0.0)


def _git() -> dict[str, Any]:
    """The commit that the package was run from, and whether its files differ from it.

    An installed package is none's checkout, even where its environment lies in some other project's.
    """
    package = Path(__file__).resolve().parents[1]
    try:
        _run_git(package, "ls-files", "--error-unmatch", "__init__.py")
        commit = _run_git(package, "rev-parse", "HEAD")
        dirty = bool(_run_git(package, "status", "--porcelain", "--", "."))
    except (OSError, subprocess.SubprocessError):
        return {"git_commit": None, "git_dirty": None}
    return {"git_commit": commit, "git_dirty": dirty}


def _run_git(folder: Path, *words: str) -> str:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    done = subprocess.run(
        ["git", "-C", str(folder), *words],
        env=environment | {"GIT_OPTIONAL_LOCKS": "0"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=GIT_SECONDS,
        check=True,
    )
    return done.stdout.strip()


def _versions() -> dict[str, str]:
    found = {}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def _cpu() -> str | None:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return None
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), None)


def _gpu() -> str | None:
    """The names of the GPUs in use; only where the run has imported torch and begun to use them."""
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_initialized():
        return None
    names = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
    return ", ".join(f"{names.count(name)} x {name}" for name in dict.fromkeys(names))
