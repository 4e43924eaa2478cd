"""A training small enough to run to its end in a test: a linear map of four-pixel images."""

from __future__ import annotations

import os
from pathlib import Path

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


class Table(nn.Module):
    """A network whose logits are looked up: image [0, 0, 0] holds the row."""

    def __init__(self, logits: Tensor) -> None:
        super().__init__()
        self.logits = nn.Parameter(logits)

    def forward(self, images: Tensor) -> Tensor:
        return self.logits[images[:, 0, 0, 0].long()]


def toy_images() -> Tensor:
    return torch.randint(0, 256, (COUNT, 2, 2, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def toy_loop(path: Path, control: Control, lr: float = 0.1, world: int = 1) -> tuple[Loop, RunFolder]:
    """A loop over the toy method in a run folder of its own; call `.run()`."""
    recipe = PretrainRecipe(epochs=EPOCHS, batch=BATCH, lr=lr, warmup_epochs=1)
    run = Pretrain(Prepare("toy"), "simclr", recipe)
    folder, settings = RunFolder.of(path, run), Settings()
    folder.create(run, settings)
    torch.manual_seed(0)
    pixels = toy_images()
    ranks = Ranks(int(os.environ.get("RANK", 0)), world, torch.device("cpu"))
    loop = Loop(
        method=Toy(),
        recipe=recipe,
        seed=0,
        order=lambda epoch: order.even_batches(COUNT, BATCH, 0, epoch),
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
