"""How a grid stands, from its runs' files."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from noisewise.grid.expand import Grid
from noisewise.launch.progress import position, unit
from noisewise.runs.config import STAGES
from noisewise.runs.folder import RunFolder, State


def status(grid: Grid, root: Path) -> dict[str, Any]:
    """Counts per stage and state, the running runs' progress, and the failures with what to do; plain values."""
    counts: dict[str, Counter[str]] = {stage: Counter() for stage in STAGES}
    running, failures = [], []
    for run in grid.ready:
        folder = RunFolder.of(root, run)
        state = folder.state()
        counts[run.stage][state.value] += 1
        if state is State.RUNNING:
            done, total, words = position(run, folder)
            running.append({"run": run.name, "unit": unit(run), "done": done, "of": total, "words": words})
        if state is State.FAILED and (failure := folder.read_failure()):
            failures.append(
                {"run": run.name, "folder": str(folder.path), "kind": failure.kind, "message": failure.message}
                | {"advice": failure.advice}
            )
        if state is State.LOST:
            failures.append(
                {"run": run.name, "folder": str(folder.path), "kind": "lost", "message": "it ended without a word"}
                | {"advice": "Submit the grid again: it goes on from its last checkpoint."}
            )
    return {
        "grid": grid.name,
        "stages": {stage: {state.value: counts[stage][state.value] for state in State} for stage in STAGES},
        "left_out": dict(Counter(grid.missing.values())),
        "running": running,
        "failures": failures,
    }


def describe(standing: dict[str, Any]) -> list[str]:
    """A status in lines of text; failures grouped by class, one example each."""
    lines = [f"grid {standing['grid']}", "  " + f"{'stage':<10}" + "".join(f"{state.value:>9}" for state in State)]
    for stage, counts in standing["stages"].items():
        lines.append("  " + f"{stage:<10}" + "".join(f"{counts[state.value]:>9}" for state in State))
    for reason, count in standing["left_out"].items():
        lines.append(f"left out: {reason} ({count} runs)")
    for run in standing["running"]:
        lines.append(f"running  {run['run']}  {run['unit']} {run['done']}/{run['of']}  {run['words']}")
    for kind, count in Counter(failure["kind"] for failure in standing["failures"]).items():
        example = next(failure for failure in standing["failures"] if failure["kind"] == kind)
        lines.append(f"{count} failed ({kind}), for instance {example['run']}: {example['message']}")
        lines.append(f"    {example['advice']}  ({example['folder']})")
    return lines
