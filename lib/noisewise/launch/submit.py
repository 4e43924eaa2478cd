"""Submitting: the thin layer that turns a plan into run folders and running tasks."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from noisewise.errors import UserError, unknown
from noisewise.grid import cost
from noisewise.grid.expand import Grid
from noisewise.grid.plan import Plan, plan
from noisewise.launch.cluster import Cluster, Slots, slots
from noisewise.runs.config import Prepare, Run
from noisewise.runs.folder import RunFolder, Settings, State

WANDB_MODES = ("off", "offline", "online")
DEVICES = ("auto", "cpu", "cuda")


def plan_grid(grid: Grid, root: Path) -> Plan:
    """The grid's plan, given what lies in the runs folder."""
    return plan(grid, {run.key: RunFolder.of(root, run).state() for run in grid.ready})


def estimates(plan: Plan, root: Path, place: Slots) -> list[tuple[str, cost.Estimate, cost.Estimate]]:
    """Device, cost of what is to do, cost of the whole grid; this machine's device first, and a GPU in any case."""
    done = [run for run in plan.grid.ready if plan.states[run.key] is State.DONE]
    results = [(run, RunFolder.of(root, run).glance()) for run in done]
    images: dict[str, int | None] = dict(plan.grid.images) | _prepared(plan, root)

    def of(runs: Iterable[Run], device: str) -> cost.Estimate:
        return cost.estimate(runs, images, cost.speeds(results, device), device, place.count, place.cores)

    devices = ("cuda",) if place.gpus else ("cpu", "cuda")
    return [(device, of(plan.todo, device), of(plan.grid.runs, device)) for device in devices]


def commit(runs: Iterable[Run], root: Path, settings: Settings) -> None:
    """Write every run's folder.

    Raises:
        UserError: the runs folder cannot be written to.
    """
    if "%" in str(root.resolve()):
        raise UserError(
            f"the runs folder {root.resolve()} has a % in its path, which schedulers expand; give runs=DIR."
        )
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

    Raises:
        UserError: this environment can plan but not train, or the runs folder cannot be written to.
    """
    if find_spec("torch") is None:
        raise UserError("this environment can plan but not train: type pip install -e '.[train]', or make setup.")
    from noisewise.launch.local import LocalScheduler  # submitit takes half a second to import
    from noisewise.launch.progress import make_progress

    submitted = {run.key for run in plan.todo}
    todo = [r for r in plan.grid.ready if r.key in submitted or plan.states[r.key] is State.RUNNING]
    commit(todo, root, settings)
    with make_progress(len(todo)) as progress:
        return LocalScheduler(todo, root, cluster, slots(cluster), progress).run()


def make_settings(data: str, threads: int = 0, device: str = "auto", wandb: str = "off", group: str = "") -> Settings:
    """What runs are told that does not decide their result.

    Raises:
        UserError: an unknown `device` or `wandb`, or less than no threads.
    """
    for key, value, legal in (("wandb", wandb, WANDB_MODES), ("device", device, DEVICES)):
        if value not in legal:
            raise unknown(key, value, legal, "the command line")
    if threads < 0:
        raise UserError(f"threads is {threads}; it must be at least 0 (0: as torch likes).")
    data = os.path.abspath(os.path.expanduser(data))
    return Settings(data=data, threads=threads, device=device, wandb=wandb, group=group)


def _prepared(plan: Plan, root: Path) -> Mapping[str, int | None]:
    """Dataset -> its number of images, for those prepared already."""
    counts = {}
    for run in plan.grid.ready:
        if isinstance(run, Prepare) and plan.states[run.key] is State.DONE:
            counts[run.dataset] = RunFolder.of(root, run).glance().get("images")
    return counts
