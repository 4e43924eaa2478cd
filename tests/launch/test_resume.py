"""Killed without warning, at random instants, in the middle of whatever it was doing; resumed; and nothing shows."""

from __future__ import annotations

import json
import random
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tests.pretrain.small import SMALL
from tests.processes import FORKS
from tests.train.toy import TIMES

from noisewise.finetune.engine import finetune
from noisewise.grid.expand import read_grid
from noisewise.launch.payload import execute
from noisewise.pretrain.engine import pretrain
from noisewise.runs.folder import RunFolder, Settings
from noisewise.runs.methods import PRETRAIN
from noisewise.train.control import Control
from noisewise.train.ranks import Ranks

KILLS = 5


@pytest.fixture(scope="module")
def runs(shapes, shapes_grid, tmp_path_factory):
    """The shapes' grid with longer trainings; preparation done. Returns the runs folder, the settings and the runs."""
    root = tmp_path_factory.mktemp("resume")
    grid = read_grid(str(shapes_grid), {"recipe": {"all": {"epochs": 8}}})
    settings = Settings(data=str(shapes), threads=1, device="cpu", checkpoint_minutes=0)
    prepare = grid.runs[0]
    RunFolder.of(root / "killed", prepare).create(prepare, settings)
    assert execute(RunFolder.of(root / "killed", prepare), Control()) == 0
    return root, settings, grid.runs


def undisturbed(root, run, settings) -> RunFolder:
    """The run in a folder of its own, in one go, with no checkpoint but at the epochs' ends."""
    folder = RunFolder.of(root / "undisturbed", run)
    folder.create(run, replace(settings, checkpoint_minutes=60))
    finish(folder)
    return folder


def finish(folder: RunFolder) -> None:
    """Train to the end in this process, by the stage's engine alone: the last checkpoint stays, to be compared."""
    run, settings = folder.read_run(), folder.read_settings()
    torch.set_num_threads(settings.threads)
    stage = pretrain if run.stage == "pretrain" else finetune
    stage(run, folder, settings, Ranks(0, 1, torch.device("cpu")), Control())


def killed(root, run, settings, dice: random.Random, times: int = KILLS) -> RunFolder:
    """The run killed some times while it trains, checkpointing every step, then left to its end."""
    folder = RunFolder.of(root / "killed", run)
    folder.create(run, settings)
    kills = 0
    while kills < times:
        before = stamp(folder)
        process = FORKS.Process(target=payload, args=(folder.path,))
        process.start()
        while stamp(folder) == before and process.is_alive():
            time.sleep(0.01)
        time.sleep(dice.uniform(0, 0.4))
        if not process.is_alive():
            break
        process.kill()
        process.join()
        kills += 1
    assert kills == times, "the run ended before it could be killed as often as it should"
    finish(folder)
    return folder


def payload(path: Path) -> None:
    """What the payload's command does; started in a test of its own."""
    execute(RunFolder(path), Control())


def stamp(folder: RunFolder) -> int:
    return folder.checkpoint.stat().st_mtime_ns if folder.checkpoint.exists() else 0


def timeless(folder: RunFolder) -> list[dict]:
    lines = [json.loads(line) for line in folder.metrics.read_text().splitlines()]
    return [{key: value for key, value in line.items() if key not in TIMES} for line in lines]


def check_same_tensors(one, other, part=None) -> None:
    first, second = (torch.load(path, weights_only=True) for path in (one, other))
    first, second = (first[part], second[part]) if part else (first, second)
    assert first.keys() == second.keys()
    for name, value in first.items():
        assert torch.equal(value, second[name]), name


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_pretraining(runs):
    root, settings, all_runs = runs
    run = next(run for run in all_runs if run.stage == "pretrain")
    whole, torn = undisturbed(root, run, settings), killed(root, run, settings, random.Random(0))
    check_same_tensors(whole.checkpoint, torn.checkpoint, "method")
    check_same_tensors(whole.encoder, torn.encoder)
    assert timeless(whole) == timeless(torn)


@pytest.mark.slow
@pytest.mark.timeout(400)
@pytest.mark.parametrize("method", [method for method in PRETRAIN if method != "simclr"])
def test_every_other_pretraining_is_killed_once(runs, shapes_grid, method):
    root, settings, _ = runs
    small = {**SMALL[method], "epochs": 3, "warmup_epochs": 1, "resolution": 24}
    grid = read_grid(str(shapes_grid), {"init": [method], "recipe": {"pretrain": {method: small}}})
    run = next(run for run in grid.runs if run.stage == "pretrain")
    whole, torn = undisturbed(root, run, settings), killed(root, run, settings, random.Random(method), times=1)
    check_same_tensors(whole.checkpoint, torn.checkpoint, "method")
    assert timeless(whole) == timeless(torn)


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_finetuning(runs):
    root, settings, all_runs = runs
    run = next(run for run in all_runs if run.stage == "finetune" and run.method == "coteaching")
    whole, torn = undisturbed(root, run, settings), killed(root, run, settings, random.Random(1))
    check_same_tensors(whole.checkpoint, torn.checkpoint, "method")
    check_same_tensors(whole.model, torn.model)
    assert timeless(whole) == timeless(torn)
    assert whole.predictions.read_bytes() == torn.predictions.read_bytes()
    assert whole.train_predictions.read_bytes() == torn.train_predictions.read_bytes()
