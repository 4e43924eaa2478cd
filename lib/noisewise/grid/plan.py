"""The plan of a grid: which runs there are to do, which are done, what is missing and what it will cost."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from noisewise.grid.cost import Estimate
from noisewise.grid.expand import Grid
from noisewise.runs.config import STAGES, Run, ancestors
from noisewise.runs.folder import State


@dataclass(frozen=True)
class Plan:
    """A grid against what is there already.

    todo: runs to submit, parents before children. states: run key -> how it stands.
    """

    grid: Grid
    todo: tuple[Run, ...]
    states: Mapping[str, State]

    def count(self, stage: str, state: State) -> int:
        return sum(self.states[run.key] is state for run in self.grid.ready if run.stage == stage)

    @property
    def left_out(self) -> dict[str, int]:
        """Reason -> how many runs of the grid this version cannot run for it."""
        return dict(Counter(self.grid.missing.values()).most_common())


def plan(grid: Grid, states: Mapping[str, State]) -> Plan:
    """What to submit: fine-tunings that are not done, and of what they stand on what is not; nothing that is running.

    Failed and lost runs are retried. A shared run that is gone, but that nothing to do needs, is left alone.
    """
    undone = [run for run in grid.ready if run.stage == "finetune" and states[run.key] is not State.DONE]
    needed = {run.key for finetune in undone for run in (*ancestors(finetune), finetune)}
    skip = (State.DONE, State.RUNNING)
    return Plan(grid, tuple(run for run in grid.ready if run.key in needed and states[run.key] not in skip), states)


def describe(plan: Plan, estimates: Sequence[tuple[str, Estimate, Estimate]]) -> list[str]:
    """The plan in lines of text, as `dry_run=true` shows it.

    Args:
        estimates: per device, "cpu" (this machine's) or "cuda" (one GPU): of what is to do, and of the whole grid.
    """
    lines = [f"grid {plan.grid.name}: {plan.grid.about}", ""]
    columns = ("runs", "done", "running", "to do", "retried", "left out")
    lines += ["  " + f"{'stage':<10}" + "".join(f"{name:>9}" for name in columns)]
    for stage in STAGES:
        runs = [run for run in plan.grid.runs if run.stage == stage]
        counts = (
            len(runs),
            plan.count(stage, State.DONE),
            plan.count(stage, State.RUNNING),
            sum(run.stage == stage for run in plan.todo),
            plan.count(stage, State.FAILED) + plan.count(stage, State.LOST),
            sum(run.key in plan.grid.missing for run in runs),
        )
        lines += ["  " + f"{stage:<10}" + "".join(f"{count:>9,}" for count in counts)]
    if plan.left_out:
        lines += ["", "left out, with all that stands on it:"]
        lines += [f"  {reason}: {count:,} runs" for reason, count in plan.left_out.items()]
    lines += ["", f"to do: {len(plan.todo):,} runs; the whole grid: {len(plan.grid.runs):,}"]
    for device, todo, whole in estimates:
        unit = "GPU-hours" if device == "cuda" else "hours of this machine's CPU"
        lines += [f"  {_hours(todo)} {unit} to do, {_hours(whole)} for the whole grid ({whole.describe(device)})"]
    return lines


def _hours(estimate: Estimate) -> str:
    hours = estimate.seconds / 3600
    return f"{hours:,.0f}" if hours >= 10 else f"{hours:.1f}" if hours >= 1 else f"{hours:.2f}"
