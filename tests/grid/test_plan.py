"""Plans and their estimates."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from noisewise.grid import cost
from noisewise.grid.expand import expand
from noisewise.grid.files import DatasetFile, GridFile, NoiseLevels, load_recipe
from noisewise.grid.plan import describe, plan
from noisewise.runs.config import Source
from noisewise.runs.folder import State

SUBMIT = Path(__file__).parents[2] / "jobs" / "submit.py"


@pytest.fixture
def grid():
    dataset = DatasetFile(name="mine", source=Source(kind="folder", root="mine"), images=1000)
    file = GridFile(datasets=["mine"], init=["random", "simclr"], noise=NoiseLevels(symmetric=[0.5]), seeds=2)
    return expand("test", file, [dataset], load_recipe("quick"))


def states(grid, **of_stage):
    return {run.key: of_stage.get(run.stage, State.WAITING) for run in grid.ready}


def test_what_is_done_or_running_is_not_submitted(grid):
    made = plan(grid, states(grid, prepare=State.DONE, pretrain=State.RUNNING))
    assert {run.stage for run in made.todo} == {"finetune"}


def test_what_failed_or_was_lost_is_retried(grid):
    made = plan(grid, states(grid, prepare=State.DONE, pretrain=State.FAILED, finetune=State.LOST))
    assert {run.stage for run in made.todo} == {"pretrain", "finetune"}


def test_what_nothing_to_do_needs_is_not_done_again(grid):
    made = plan(grid, states(grid, prepare=State.WAITING, pretrain=State.WAITING, finetune=State.DONE))
    assert not made.todo


def test_estimate_without_measurements_is_arithmetic(grid):
    finetunes = [run for run in grid.runs if run.stage == "finetune"][:1]
    found = cost.estimate(finetunes, {"mine": 1000}, {}, "cuda")
    passes = 20 * 1000 * 0.65
    flops = 1.81e9 * 2 * 3 * (128 / 224) ** 2
    assert found.seconds == pytest.approx(passes * flops / 20e12, rel=1e-3)
    assert "assumed" in found.describe("cuda")


def test_estimate_from_finished_runs_of_the_same_kind(grid):
    finetunes = [run for run in grid.runs if run.stage == "finetune"]
    result = {"epochs": 20, "train_images": 650, "wall_seconds": 130.0, "gpu_seconds": 0.0}
    assert not cost.speeds([(finetunes[0], result)], "cuda")
    measured = cost.speeds([(finetunes[0], result)], "cpu")
    found = cost.estimate(finetunes, {"mine": 1000}, measured, "cpu", slots=2)
    assert found.seconds == pytest.approx(130 * len(finetunes) / 2)
    assert found.measured == found.runs == len(finetunes)
    assert "finished runs" in found.describe("cpu")


def test_a_fraction_of_the_images_costs_that_fraction(grid):
    finetunes = [run for run in grid.runs if run.stage == "finetune"]
    tenths = [replace(run, fraction=0.1) for run in finetunes]
    result = {"epochs": 20, "train_images": 65, "wall_seconds": 13.0, "gpu_seconds": 0.0}
    for measured in ({}, cost.speeds([(tenths[0], result)], "cpu")):
        whole, tenth = (cost.estimate(runs, {"mine": 1000}, measured, "cpu") for runs in (finetunes, tenths))
        assert tenth.seconds == pytest.approx(whole.seconds / 10)
    assert tenth.seconds == pytest.approx(13 * len(tenths))


def test_description_counts_and_says_where_the_estimate_is_from(grid):
    made = plan(grid, states(grid, prepare=State.DONE))
    estimate = cost.estimate(made.todo, {"mine": 1000}, {}, "cuda")
    text = "\n".join(describe(made, [("cuda", estimate, estimate)]))
    assert "finetune          4        0        0        4" in text
    assert "GPU-hours" in text and "assumed" in text


PLAN_IN_A_FRESH_PROCESS = """
import runpy, sys
script, *sys.argv[1:] = sys.argv[1:]
try:
    runpy.run_path(script, run_name="__main__")
except SystemExit as end:
    assert end.code == 0, end.code
heavy = {"torch", "numpy", "ffcv", "wandb", "pandas", "submitit", "timm"} & set(sys.modules)
assert not heavy, heavy
"""


def test_dry_run_plans_the_full_study_without_torch(tmp_path):
    words = [str(SUBMIT), "grid=full", "dry_run=true", f"runs={tmp_path / 'runs'}"]
    done = subprocess.run([sys.executable, "-c", PLAN_IN_A_FRESH_PROCESS, *words], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "GPU-hours" in done.stdout
    assert not (tmp_path / "runs").exists()
