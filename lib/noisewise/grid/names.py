"""The names that may stand in a grid, and which of them can be run today."""

from __future__ import annotations

from pathlib import Path

import noisewise
from noisewise.errors import unknown
from noisewise.runs.methods import FINETUNE

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
