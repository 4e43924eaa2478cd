"""The training loop of both stages: steps, metrics, checkpoints, stopping and exact resuming.

A checkpoint holds the method, its optimisers, the place (epoch, step), the epoch's running sums and the length of
metrics.jsonl at that moment; all randomness is a function of (seed, epoch, step). So a run killed at any instant and
resumed goes through the same numbers as one left alone (on the CPU, with the same ranks and threads, to the bit).
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
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
from noisewise.train.optimiser import build_optimiser, set_learning_rate
from noisewise.train.order import Step
from noisewise.train.precision import autocast
from noisewise.train.ranks import Ranks
from noisewise.train.schedule import learning_rate
from noisewise.train.seeds import seed_everything, torch_generator

AGREE_EVERY = 16  # steps between the moments when several ranks agree on stopping: agreeing costs a round trip
CHECK_NAN_EVERY = 50  # steps between looks at the loss on a GPU, where a look waits for it

Part = tuple[np.ndarray, Tensor, int]  # this rank's rows of a part of a batch, their images, the part's whole size
History = list[dict[str, Any]]


@dataclass
class Place:
    """Where a training is: `step` steps of epoch `epoch` are done; what they summed to; and what the epochs left.

    sums, counts: by name, what is logged times the images that it was the mean of, and those images.
    seconds: that the epoch has taken so far. waited: of them, for images.
    """

    epoch: int = 0
    step: int = 0
    images: int = 0
    seconds: float = 0.0
    waited: float = 0.0
    sums: dict[str, float] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    history: History = field(default_factory=list)


@dataclass(eq=False)
class Loop:
    """Trains a method to the recipe's last epoch, from wherever its checkpoint is.

    Args:
        method: on the device already. On rank 0 its state is saved; all ranks load the same.
        order: epoch -> the steps. It is called once `begin_epoch` is, or was before the run was resumed.
        images: positions, this rank's rows of each part of each batch -> uint8 [n, S, S, 3] on the device, in that
            order.
        end_epoch: called after every epoch on every rank with the epoch and the history so far; what it returns
            joins the epoch's metrics and its record in the history. It may run twice for an epoch (kill, resume).
        epoch_saved: called with the history once an epoch is in the checkpoint, while the method is as it was then;
            also on resuming right there. So what it keeps of the method always fits the history. With None, epochs
            end without a checkpoint unless one is due: it may take longer to write than the epoch took.
        tracker: on rank 0; None elsewhere.
        begin: what there is to say before the first epoch; unless it is nothing, the metrics have it as epoch -1.
        begin_epoch: called with the epoch on every rank before its first step; not on resuming in its middle.
    """

    method: Method
    recipe: Recipe
    seed: int
    order: Callable[[int], Sequence[Step]]
    images: Callable[[Sequence[np.ndarray]], Iterator[Tensor]]
    end_epoch: Callable[[int, History], dict[str, Any]]
    epoch_saved: Callable[[History], None] | None
    folder: RunFolder
    settings: Settings
    ranks: Ranks
    control: Control
    tracker: Tracker | None
    begin: Callable[[], dict[str, Any]] = dict
    begin_epoch: Callable[[int], None] | None = None

    def __post_init__(self) -> None:
        method, ranks = self.method, self.ranks
        self.step_method = ranks.wrap(method, method.global_norm, in_turns=len(set(method.turns)) > 1)
        self.optimisers = {
            turn: build_optimiser(self.recipe, method.trained(turn), ranks.device) for turn in method.turns
        }
        self.place = Place()
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
        epoch, started, seconds = self.place.epoch, time.monotonic(), self.place.seconds
        if self.place.step == 0 and self.begin_epoch:
            self.method.eval()
            self.begin_epoch(epoch)
        steps = self.order(epoch)
        left = [(step.turns, np.array_split(step.rows, self.recipe.accumulate)) for step in steps[self.place.step :]]
        self.method.train()
        images = self.images([self._mine(part) for _, parts in left for part in parts])
        try:
            for turns, parts in left:
                ready = [(self._mine(part), self._next(images), len(part)) for part in parts]
                self._step(epoch, ready, turns, len(steps))
                self.place.seconds = seconds + time.monotonic() - started
                self._maybe_save(len(steps))
            self._check_finite()  # waits for a GPU to be done: only now is the epoch's time known
            self.place.seconds = seconds + time.monotonic() - started
        finally:
            images.close()

    def _mine(self, part: np.ndarray) -> np.ndarray:
        return part[self.ranks.rows(len(part))]

    def _next(self, images: Iterator[Tensor]) -> Tensor:
        """The next images, and how long they were waited for."""
        began = time.monotonic()
        pixels = next(images)
        self.place.waited += time.monotonic() - began
        return pixels

    def _step(self, epoch: int, parts: list[Part], turns: Sequence[str], steps: int) -> None:
        """One global batch, in parts: a step of each turn's optimiser, in order."""
        now, total = epoch + (self.place.step + 0.5) / steps, sum(size for *_, size in parts)
        for number, turn in enumerate(turns):
            seed_everything("step", self.seed, epoch, self.place.step, number, self.ranks.rank)
            optimiser = self._take_turn(turn, learning_rate(self.recipe, now))
            for part, (rows, pixels, size) in enumerate(parts):
                batch = self._batch(rows, pixels, size, now, turn, (epoch, self.place.step, number, part))
                loss, statistics = self._backward(batch, size / total, last=part == len(parts) - 1)
                named = {f"{turn}_loss": loss} if len(self.optimisers) > 1 else {}
                self._note({"loss": loss, **named, **statistics}, size)
            optimiser.step()
        self.method.after_step()
        self._count(total)

    def _note(self, values: dict[str, Tensor], images: int) -> None:
        """Add the means over so many images to the epoch's sums, on the device: no value is waited for."""
        place = self.place
        for name, value in values.items():
            place.sums[name] = place.sums.get(name, 0.0) + value.detach().double() * images
            place.counts[name] = place.counts.get(name, 0) + images

    def _take_turn(self, turn: str, lr: float) -> torch.optim.Optimizer:
        """The turn's optimiser, at its learning rate; gradients are wanted by what it moves, and by nothing else."""
        self.method.zero_grad(set_to_none=True)
        for name, optimiser in self.optimisers.items() if len(self.optimisers) > 1 else ():
            for group in optimiser.param_groups:
                for parameter in group["params"]:
                    parameter.requires_grad_(name == turn)
        set_learning_rate(self.optimisers[turn], lr)
        return self.optimisers[turn]

    def _batch(
        self, rows: np.ndarray, pixels: Tensor, total: int, epoch: float, turn: str, place: tuple[int, ...]
    ) -> Batch:
        return Batch(
            images=pixels,
            index=torch.from_numpy(rows).to(self.ranks.device, non_blocking=True),
            rows=self.ranks.rows(total),
            total=total,
            world=self.ranks.world,
            generator=torch_generator("batch", self.seed, *place),
            epoch=epoch,
            turn=turn,
        )

    def _backward(self, batch: Batch, share: float, last: bool) -> tuple[Tensor, dict[str, Tensor]]:
        """Add the gradient of a part of a batch; ranks exchange gradients behind the last one only."""
        apart = self.ranks.world > 1 and not last
        with self.step_method.no_sync() if apart else nullcontext():
            with autocast(self.recipe.precision, self.ranks.device):
                loss, statistics = self.step_method(batch)
            (loss * share).backward()
        return loss, statistics

    def _count(self, total: int) -> None:
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
        means = {name: value / place.counts[name] for name, value in zip(names, sums.tolist(), strict=True)}
        record = {
            "epoch": place.epoch,
            "step": place.step,
            "lr": self.optimisers[self.method.turns[-1]].param_groups[0]["lr"],
            **means,
        }
        speed = place.images / max(place.seconds, 1e-9)
        self.method.eval()
        record |= self.end_epoch(place.epoch, place.history)
        if self.tracker:
            self.tracker.log(**record, images_per_second=round(speed, 1), data_seconds=round(place.waited, 3))
        self.place = Place(epoch=place.epoch + 1, history=[*place.history, record])
        done, stop = self.place.epoch == self.recipe.epochs, self._stopping()
        if self.epoch_saved or done or stop or self._due():
            self._save()
        if self.epoch_saved:
            self.epoch_saved(self.place.history)
        if stop and not done:
            raise Interrupted

    def _stopping(self) -> bool:
        return self.ranks.any(self.control.asked)

    def _due(self) -> bool:
        return self.ranks.any(time.monotonic() - self._saved > 60 * self.settings.checkpoint_minutes)

    def _maybe_save(self, steps: int) -> None:
        """Between steps: leave if asked to; save if the last checkpoint is old. Ranks decide together."""
        if self.place.step == steps:
            return
        if self.ranks.world > 1 and self.place.step % AGREE_EVERY:
            return
        stop, due = self._stopping(), self._due()
        if stop or due:
            self._save()
        if stop:
            raise Interrupted

    def _save(self) -> None:
        self._check_finite()  # what a NaN came of is not to take the last good checkpoint's place
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
                "optimisers": {turn: optimiser.state_dict() for turn, optimiser in self.optimisers.items()},
                "place": {**vars(place), "sums": dict(zip(place.sums, of_ranks, strict=True))},
                "metrics": self.tracker.position(),
            },
        )

    def _resume(self) -> None:
        state = checkpoint.load(self.folder.checkpoint)
        if state is None:
            self._start()
            return
        self.method.load_state_dict(state["method"])
        for turn, optimiser in self.optimisers.items():
            optimiser.load_state_dict(state["optimisers"][turn])
        self.place = Place(**state["place"])
        self.place.sums = {name: self._my_sum(values) for name, values in self.place.sums.items()}
        if self.tracker:
            self.tracker.rewind(state["metrics"])
        if self.place.step == 0 and self.epoch_saved:  # the kill may have come before this was done
            self.epoch_saved(self.place.history)

    def _start(self) -> None:
        if self.tracker:
            self.tracker.rewind(0)
        self.method.eval()
        if not (values := self.begin()):
            return
        record = {"epoch": -1, "step": 0, **values}
        self.place.history.append(record)
        if self.tracker:
            self.tracker.log(**record)

    def _my_sum(self, of_ranks: list[float]) -> float:
        """This rank's running sum; with another number of ranks than before, an equal share of all of them."""
        if len(of_ranks) == self.ranks.world:
            return of_ranks[self.ranks.rank]
        return sum(of_ranks) / self.ranks.world
