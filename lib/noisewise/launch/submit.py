"""Submitting: the thin layer that turns a plan into run folders and running tasks."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from noisewise.errors import UserError
from noisewise.grid import cost
from noisewise.grid.expand import Grid
from noisewise.grid.plan import Plan, plan
from noisewise.launch.cluster import Cluster, Slots, slots
from noisewise.runs.config import Prepare, Run
from noisewise.runs.folder import RunFolder, Settings, State


def plan_grid(grid: Grid, root: Path) -> Plan:
    """The grid's plan, given what lies in the runs folder."""
    return plan(grid, {run.key: RunFolder.of(root, run).state() for run in grid.ready})


def estimates(plan: Plan, root: Path, place: Slots) -> list[tuple[str, cost.Estimate, cost.Estimate]]:
    """Device, cost of what is to do, cost of the whole grid; this machine's device first, and a GPU in any case."""
    done = ((run, RunFolder.of(root, run)) for run in plan.grid.ready if plan.states[run.key] is State.DONE)
    measured = cost.speeds((run, folder.read_result()) for run, folder in done)
    images: dict[str, int | None] = dict(plan.grid.images) | _prepared(plan, root)
    known = {"cuda": measured} if place.gpus else {"cpu": measured, "cuda": {}}

    def of(runs: Iterable[Run], device: str) -> cost.Estimate:
        return cost.estimate(runs, images, known[device], device, place.count)

    return [(device, of(plan.todo, device), of(plan.grid.runs, device)) for device in known]


def commit(runs: Iterable[Run], root: Path, settings: Settings) -> None:
    """Write every run's folder.

    Raises:
        UserError: the runs folder cannot be written to.
    """
    try:
        root.mkdir(parents=True, exist_ok=True)
        for run in runs:
            RunFolder.of(root, run).create(run, settings)
    except OSError as error:
        raise UserError(
            f"cannot write to the runs folder {root}: {error.strerror}. Give another with runs=DIR."
        ) from None


def run_here(plan: Plan, root: Path, cluster: Cluster, settings: Settings) -> Any:
    """Commit the plan and run it on this machine to its end; returns the executor's `Outcome`.

    What another submit is at work on is waited for.
    """
    from noisewise.launch.local import LocalScheduler  # submitit takes half a second to import
    from noisewise.launch.progress import make_progress

    todo = [run for run in plan.grid.ready if plan.states[run.key] is not State.DONE]
    commit(todo, root, settings)
    with make_progress(len(todo)) as progress:
        return LocalScheduler(todo, root, cluster, slots(cluster), progress).run()


def settings_for(cluster: Cluster, data: str, wandb: str, group: str) -> Settings:
    """What the runs of a grid are told.

    Raises:
        UserError: `wandb` is none of off, offline and online.
    """
    if wandb not in ("off", "offline", "online"):
        raise UserError(f"wandb is '{wandb}'; legal: off, offline, online.")
    return Settings(data=os.path.abspath(os.path.expanduser(data)), threads=cluster.threads, wandb=wandb, group=group)


def _prepared(plan: Plan, root: Path) -> Mapping[str, int]:
    """Dataset -> its number of images, for those prepared already."""
    counts = {}
    for run in plan.grid.ready:
        if isinstance(run, Prepare) and plan.states[run.key] is State.DONE:
            counts[run.dataset] = RunFolder.of(root, run).read_result()["images"]
    return counts
