"""A training small enough to run to its end in a test: a linear map of four-pixel images."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from noisewise.runs.config import Prepare, Pretrain
from noisewise.runs.folder import RunFolder, Settings
from noisewise.runs.recipe import PretrainRecipe
from noisewise.track import Tracker
from noisewise.train import order
from noisewise.train.control import Control
from noisewise.train.loop import Loop
from noisewise.train.method import Batch, Method
from noisewise.train.ranks import Ranks

COUNT, EPOCHS, BATCH = 30, 3, 8
TIMES = ("time", "images_per_second", "data_seconds")  # what differs between two runs of one thing


class Toy(Method):
    """Regresses an image's mean from its pixels, noised by the step's generator, through a dropout."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(12, 1)
        self.steps = nn.Buffer(torch.zeros(1))

    def forward(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        pixels = batch.images.float().flatten(1) / 255
        noise = torch.randn(batch.total, 12, generator=batch.generator)[batch.rows] * 0.1
        found = self.layer(nn.functional.dropout(pixels + noise, 0.2, self.training)).squeeze(1)
        loss = batch.mean((found - pixels.mean(1)) ** 2)
        return loss, {"mean": found.detach().mean()}

    def after_step(self) -> None:
        self.steps += 1


class Players(Method):
    """Two players in turn: one guesses an image's mean, twice a batch; the other moves the target away from it."""

    turns = ("guesser", "mover", "guesser")

    def __init__(self) -> None:
        super().__init__()
        self.guesser = nn.Linear(12, 1)
        self.mover = nn.Linear(12, 1)

    def trained(self, turn: str) -> list[nn.Parameter]:
        return list(getattr(self, turn).parameters())

    def forward(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        pixels = batch.images.float().flatten(1) / 255 + 0.1 * batch.normal(12)
        distance = (self.guesser(pixels) - pixels.mean(1, keepdim=True) - 0.1 * self.mover(pixels).tanh()).square()
        sign = 1 if batch.turn == "guesser" else -1
        return sign * batch.mean(distance.squeeze(1)), {f"{batch.turn}_distance": distance.detach().mean()}


class Table(nn.Module):
    """A network whose logits are looked up: image [0, 0, 0] holds the row."""

    def __init__(self, logits: Tensor) -> None:
        super().__init__()
        self.logits = nn.Parameter(logits)

    def forward(self, images: Tensor) -> Tensor:
        return self.logits[images[:, 0, 0, 0].long()]


def toy_images() -> Tensor:
    return torch.randint(0, 256, (COUNT, 2, 2, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def toy_loop(
    path: Path, control: Control, world: int = 1, make: Callable[[], Method] = Toy, **changes: Any
) -> tuple[Loop, RunFolder]:
    """A loop over a toy method in a run folder of its own; call `.run()`. `changes` are keys of its recipe."""
    recipe = PretrainRecipe(**{"epochs": EPOCHS, "batch": BATCH, "lr": 0.1, "warmup_epochs": 1, **changes})
    run = Pretrain(Prepare("toy"), "simclr", recipe)
    folder, settings = RunFolder.of(path, run), Settings()
    folder.create(run, settings)
    torch.manual_seed(0)
    pixels = toy_images()
    ranks = Ranks(int(os.environ.get("RANK", 0)), world, torch.device("cpu"))
    method = make()
    loop = Loop(
        method=method,
        recipe=recipe,
        seed=0,
        order=lambda epoch: [order.Step(rows, method.turns) for rows in order.even_batches(COUNT, BATCH, 0, epoch)],
        images=lambda steps: (pixels[rows] for rows in steps),
        end_epoch=lambda epoch, history: {"epochs_before": len(history)},
        epoch_saved=lambda history: None,
        folder=folder,
        settings=settings,
        ranks=ranks,
        control=control,
        tracker=Tracker(folder, run, settings) if ranks.first else None,
    )
    return loop, folder
