"""Fine-tuning methods over tables of logits, one row an image, to be worked out by hand; and whole runs."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from tests.train.toy import Table
from torch import Tensor

from noisewise.finetune.engine import finetune
from noisewise.finetune.method import FinetuneMethod
from noisewise.runs.config import Finetune, Noise
from noisewise.runs.folder import RunFolder, Settings
from noisewise.runs.methods import FINETUNE
from noisewise.train.control import Control
from noisewise.train.method import Batch
from noisewise.train.ranks import Ranks

RANKS = Ranks(0, 1, torch.device("cpu"))


def train(
    run: Finetune, data: Path, path: Path, control: Control | None = None, ranks: Ranks = RANKS
) -> tuple[RunFolder, dict[str, Any]]:
    """The run done, in the runs folder `path`: its own folder, where the checkpoint still is, and its result."""
    folder, settings = RunFolder.of(path, run), Settings(data=str(data))
    folder.create(run, settings)
    return folder, finetune(run, folder, settings, ranks, control or Control())


def table_method(
    name: str, tables: list[Tensor], labels: Tensor, rate: float = 0.5, kind: str = "symmetric", **recipe: object
) -> FinetuneMethod:
    """The method; its networks look up these tables [n, C], in the order in which it asks for them."""
    networks = iter([Table(table.clone()) for table in tables])
    return import_module(f"noisewise.finetune.{name}").Method(
        FINETUNE[name](**recipe),
        lambda: next(networks),
        lambda images, *_: images.permute(0, 3, 1, 2).float(),
        labels,
        tables[0].shape[1],
        Noise(kind, rate),
        RANKS,
    )


def table_batch(rows: list[int], epoch: float = 0.0, turn: str = "all") -> Batch:
    """A batch of the images with these rows of the tables."""
    images = torch.tensor(rows, dtype=torch.uint8)[:, None, None, None].expand(-1, 1, 1, 3)
    return Batch(images, torch.tensor(rows), slice(0, len(rows)), len(rows), 1, torch.Generator(), epoch, turn)
