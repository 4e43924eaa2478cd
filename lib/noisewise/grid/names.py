"""The names that may stand in a grid, and which of them can be run today."""

from __future__ import annotations

from pathlib import Path

import noisewise
from noisewise.errors import UserError, unknown
from noisewise.runs.config import WEIGHTS
from noisewise.runs.methods import FINETUNE, PRETRAIN

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
BACKBONES = ("resnet18", "resnet50")
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


def parse_init(text: str, where: str) -> tuple[str, list[tuple[str, str | None]]]:
    """An initialisation as weights and a chain: "imagenet+simclr@nct" is ("imagenet", [("simclr", "nct")]).

    Raises:
        UserError: an unknown name, weights that are not first, or a method that follows itself.
    """
    first, *rest = text.split("+")
    weights, links = (first, rest) if first in WEIGHTS else ("random", [first, *rest])
    chain = []
    for link in links:
        method, at, dataset = link.partition("@")
        if method in WEIGHTS:
            raise UserError(f"{where}: in '{text}', '{method}' can only come first.")
        if method not in PRETRAIN:
            raise unknown("initialisation", method, [*WEIGHTS, *PRETRAIN], where)
        if at and not dataset:
            raise UserError(f"{where}: in '{text}', a dataset's name must follow the '@'.")
        chain.append((method, dataset or None))
    if any(one == two for one, two in zip(chain, chain[1:], strict=False)):
        raise UserError(f"{where}: in '{text}', a pretraining follows itself; set its epochs instead.")
    return weights, chain
