"""The training loop of both stages: steps, metrics, checkpoints, stopping and exact resuming.

A checkpoint holds the method, the optimiser, the place (epoch, step), the epoch's running sums and the length of
metrics.jsonl at that moment; all randomness is a function of (seed, epoch, step). So a run killed at any instant and
resumed goes through the same numbers as one left alone (on the CPU, with the same ranks and threads, to the bit).
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from noisewise.errors import RunError
from noisewise.runs.failure import ADVICE
from noisewise.runs.folder import RunFolder, Settings
from noisewise.runs.recipe import Recipe
from noisewise.track import Tracker
from noisewise.train import checkpoint
from noisewise.train.control import Control, Interrupted
from noisewise.train.method import Batch, Method
from noisewise.train.precision import autocast
from noisewise.train.ranks import Ranks
from noisewise.train.schedule import build_optimiser, learning_rate, set_learning_rate
from noisewise.train.seeds import seed_everything, torch_generator

AGREE_EVERY = 16  # steps between the moments when several ranks agree on stopping: agreeing costs a round trip
CHECK_NAN_EVERY = 50  # steps between looks at the loss on a GPU, where a look waits for it

Steps = Sequence[np.ndarray]
History = list[dict[str, Any]]


@dataclass
class Place:
    """Where a training is: `step` steps of epoch `epoch` are done; what they summed to; and what the epochs left."""

    epoch: int = 0
    step: int = 0
    images: int = 0
    seconds: float = 0.0
    sums: dict[str, float] = field(default_factory=dict)
    history: History = field(default_factory=list)


class Loop:
    """Trains a method to the recipe's last epoch, from wherever its checkpoint is.

    Args:
        method: on the device already. On rank 0 its state is saved; all ranks load the same.
        order: epoch -> the global batches, as positions in the training set.
        images: steps' positions (this rank's rows) -> uint8 [n, S, S, 3] on the device, in that order.
        end_epoch: called after every epoch on every rank with the epoch and the history so far; what it returns
            joins the epoch's metrics and its record in the history. It may run twice for an epoch (kill, resume).
        epoch_saved: called with the history once an epoch is in the checkpoint, while the method is as it was then;
            also on resuming right there. So what it keeps of the method always fits the history.
        tracker: on rank 0; None elsewhere.
    """

    def __init__(
        self,
        method: Method,
        recipe: Recipe,
        seed: int,
        order: Callable[[int], Steps],
        images: Callable[[Steps], Iterator[Tensor]],
        end_epoch: Callable[[int, History], dict[str, Any]],
        epoch_saved: Callable[[History], None],
        folder: RunFolder,
        settings: Settings,
        ranks: Ranks,
        control: Control,
        tracker: Tracker | None,
    ) -> None:
        self.method = method
        self.recipe = recipe
        self.seed = seed
        self.order = order
        self.images = images
        self.end_epoch = end_epoch
        self.epoch_saved = epoch_saved
        self.folder = folder
        self.settings = settings
        self.ranks = ranks
        self.control = control
        self.tracker = tracker
        self.optimiser = build_optimiser(recipe, method.parameters(), ranks.device)
        self.place = Place()
        self.step_method = ranks.wrap(method)
        self._saved = time.monotonic()

    def run(self) -> Place:
        """Train to the end; returns the final place, its history one record an epoch.

        Raises:
            Interrupted: stopped on request, after saving.
            RunError: nan, if the loss is not finite.
        """
        self._resume()
        while self.place.epoch < self.recipe.epochs:
            self._epoch()
            self._close_epoch()
        return self.place

    def _epoch(self) -> None:
        epoch, steps = self.place.epoch, self.order(self.place.epoch)
        mine = [step[self.ranks.rows(len(step))] for step in steps[self.place.step :]]
        self.method.train()
        started, seconds = time.monotonic(), self.place.seconds
        images = self.images(mine)
        try:
            for rows, pixels in zip(mine, images, strict=True):
                total = len(steps[self.place.step])
                self._step(epoch, pixels, rows, total, len(steps))
                self.place.seconds = seconds + time.monotonic() - started
                self._maybe_save(len(steps))
            self._check_finite()  # waits for a GPU to be done: only now is the epoch's time known
            self.place.seconds = seconds + time.monotonic() - started
        finally:
            images.close()

    def _step(self, epoch: int, pixels: Tensor, rows: np.ndarray, total: int, steps: int) -> None:
        step, device = self.place.step, self.ranks.device
        now = epoch + (step + 0.5) / steps
        seed_everything("step", self.seed, epoch, step, self.ranks.rank)
        set_learning_rate(self.optimiser, learning_rate(self.recipe, now))
        batch = Batch(
            images=pixels,
            index=torch.from_numpy(rows).to(device, non_blocking=True),
            rows=self.ranks.rows(total),
            total=total,
            world=self.ranks.world,
            generator=torch_generator("batch", self.seed, epoch, step),
            epoch=now,
        )
        with autocast(self.recipe.precision, device):
            loss, statistics = self.step_method(batch)
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        self.optimiser.step()
        self.method.after_step()
        self._count(loss.detach(), statistics, total)

    def _count(self, loss: Tensor, statistics: dict[str, Tensor], total: int) -> None:
        """Add a step to the epoch's sums, on the device: no value is waited for."""
        for name, value in {"loss": loss, **statistics}.items():
            self.place.sums[name] = self.place.sums.get(name, 0.0) + value.detach().double() * total
        self.place.step += 1
        self.place.images += total
        if self.ranks.device.type == "cpu" or self.place.step % CHECK_NAN_EVERY == 0:
            self._check_finite()

    def _check_finite(self) -> None:
        if self.place.sums and not math.isfinite(float(self.place.sums["loss"])):
            raise RunError(
                "nan",
                f"the loss is no longer finite in epoch {self.place.epoch}, by step {self.place.step}",
                ADVICE["nan"],
            )

    def _close_epoch(self) -> None:
        """Evaluate, log and save; the next epoch begins at step 0."""
        place = self.place
        names = sorted(place.sums)
        sums = self.ranks.sum(torch.stack([torch.as_tensor(place.sums[name]) for name in names])) / self.ranks.world
        means = {name: float(value) / place.images for name, value in zip(names, sums.tolist(), strict=True)}
        record = {
            "epoch": place.epoch,
            "step": place.step,
            "lr": self.optimiser.param_groups[0]["lr"],
            **means,
        }
        speed = place.images / max(place.seconds, 1e-9)
        self.method.eval()
        record |= self.end_epoch(place.epoch, place.history)
        if self.tracker:
            self.tracker.log(**record, images_per_second=round(speed, 1))
        self.place = Place(epoch=place.epoch + 1, history=[*place.history, record])
        self._save()
        self.epoch_saved(self.place.history)
        if self._stopping() and self.place.epoch < self.recipe.epochs:
            raise Interrupted

    def _stopping(self) -> bool:
        return self.ranks.any(self.control.asked)

    def _maybe_save(self, steps: int) -> None:
        """Between steps: leave if asked to; save if the last checkpoint is old. Ranks decide together."""
        if self.place.step == steps:
            return
        if self.ranks.world > 1 and self.place.step % AGREE_EVERY:
            return
        due = time.monotonic() - self._saved > 60 * self.settings.checkpoint_minutes
        stop, due = self._stopping(), self.ranks.any(due)
        if stop or due:
            self._save()
        if stop:
            raise Interrupted

    def _save(self) -> None:
        self._check_finite()  # a checkpoint is never worse than the one before
        place = self.place
        sums = [[float(value) for value in place.sums.values()]]
        mine = torch.tensor(sums, dtype=torch.float64, device=self.ranks.device)
        of_ranks = self.ranks.gather_rows(mine, self.ranks.world).T.tolist()
        self._saved = time.monotonic()
        if not self.tracker:
            return
        checkpoint.save(
            self.folder.checkpoint,
            {
                "method": self.method.state_dict(),
                "optimiser": self.optimiser.state_dict(),
                "place": {**vars(place), "sums": dict(zip(place.sums, of_ranks, strict=True))},
                "metrics": self.tracker.position(),
            },
        )

    def _resume(self) -> None:
        state = checkpoint.load(self.folder.checkpoint)
        if state is None:
            if self.tracker:
                self.tracker.rewind(0)
            return
        self.method.load_state_dict(state["method"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.place = Place(**state["place"])
        self.place.sums = {name: self._my_sum(values) for name, values in self.place.sums.items()}
        if self.tracker:
            self.tracker.rewind(state["metrics"])
        if self.place.step == 0:  # the kill may have come before this was done
            self.epoch_saved(self.place.history)

    def _my_sum(self, of_ranks: list[float]) -> float:
        """This rank's running sum; with another number of ranks than before, an equal share of all of them."""
        if len(of_ranks) == self.ranks.world:
            return of_ranks[self.ranks.rank]
        return sum(of_ranks) / self.ranks.world
