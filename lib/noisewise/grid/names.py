"""The names that may stand in a grid, and which of them can be run today."""

from __future__ import annotations

from pathlib import Path

import noisewise
from noisewise.errors import UserError, unknown
from noisewise.runs.methods import FINETUNE

# Kind of noise -> whether this version can make it (`noisewise.data.noise`).
NOISE = {
    "none": True,
    "symmetric": True,
    "class_dependent": False,
    "pairflip": False,
    "instance": False,
    "transition": False,
    "given": False,
}
READERS = (
    "folder",
    "csv",
    "parquet",
    "medmnist",
    "fashion_mnist",
    "elpv",
    "fetal",
    "dermnet",
    "covid",
    "mura",
    "nct",
)


def reader_exists(kind: str) -> bool:
    """Whether there is a reader for this kind of source; looks for its file, since importing it needs numpy."""
    return (Path(noisewise.__file__).parent / "data" / "readers" / f"{kind}.py").exists()


def check_finetune(method: str, where: str) -> str:
    if method not in FINETUNE:
        raise unknown("fine-tuning method", method, FINETUNE, where)
    return method


def check_rate(kind: str, rate: float, where: str) -> float:
    if not 0 <= rate < 1:
        raise UserError(f"{where}: noise rate {rate:g} of '{kind}' must be at least 0 and below 1.")
    return rate
