"""What holds for every method: two ranks are one, a resumed run is the run left alone, and all eight are there."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import pytest
import torch
from tests.pretrain.small import ONE, SMALL, make_batch, make_method, make_recipe, train
from tests.train.test_loop import StopAfter
from tests.train.test_ranks import on_two_ranks
from tests.train.toy import TIMES

from noisewise.grid.expand import read_grid
from noisewise.models.backbone import build_backbone
from noisewise.pretrain.engine import pretrain
from noisewise.runs.config import Pretrain
from noisewise.runs.folder import RunFolder, Settings
from noisewise.runs.methods import PRETRAIN, exists
from noisewise.train.control import Control, Interrupted

METHODS = tuple(PRETRAIN)


def test_all_eight_are_there():
    assert len(METHODS) == 8 and all(exists("pretrain", method) for method in METHODS)
    assert SMALL.keys() == PRETRAIN.keys()


def gradients(ranks, name, norm=True):
    """Loss, statistics and gradients of one step of each turn."""
    method = make_method(name, ranks, norm=norm).train()
    wrapped = ranks.wrap(method, method.global_norm, in_turns=len(set(method.turns)) > 1)
    found = {}
    for turn in dict.fromkeys(method.turns):
        method.zero_grad(set_to_none=True)
        loss, statistics = wrapped(make_batch(ranks, turn=turn))
        loss.backward()
        for key, value in {"loss": loss.detach(), **statistics}.items():
            found[f"{turn} {key}"] = ranks.sum(value.detach().clone()) / ranks.world
        wanted = {id(parameter) for parameter in method.trained(turn)}
        for key, parameter in method.named_parameters():
            if id(parameter) in wanted and parameter.grad is not None:
                found[f"{turn} {key}"] = parameter.grad.clone()
    return found


def gradients_of_all(ranks, path):
    """Batch normalisation spans ranks, but in MoCo: there the networks have none here."""
    return {name: gradients(ranks, name, norm=name != "moco_v2") for name in METHODS}


@pytest.fixture(scope="module")
def two_ranks(tmp_path_factory):
    return on_two_ranks(gradients_of_all, tmp_path_factory.mktemp("ranks"))


@pytest.mark.parametrize("name", METHODS)
def test_a_step_on_two_ranks_is_the_step_on_one(two_ranks, name):
    one = gradients(ONE, name, norm=name != "moco_v2")
    assert len(one) > 3
    for found in (rank[name] for rank in two_ranks):
        assert found.keys() == one.keys()
        for key, value in one.items():
            torch.testing.assert_close(
                found[key], value, atol=1e-4, rtol=1e-3, msg=lambda text, key=key: f"{key}: {text}"
            )


@pytest.mark.parametrize("name", METHODS)
def test_a_vision_transformer_learns_by_every_method(name):
    """One step of each turn moves the encoder; jigsaw sees tiles of two patches a side."""
    more = {"tile": 8} if name == "jigsaw" else {}
    method = make_method(name, encoder=build_backbone("vit_tiny", "small", 24), resolution=24, **more)
    before = [weight.detach().clone() for weight in method.encoder.parameters()]
    (record,) = train(method, steps=1, lr=0.1)
    assert all(math.isfinite(value) for value in record.values())
    moved = [not torch.equal(old, new) for old, new in zip(before, method.encoder.parameters(), strict=True)]
    assert sum(moved) > len(moved) / 2


@pytest.fixture(scope="module")
def base(shapes, shapes_grid) -> Pretrain:
    return next(run for run in read_grid(str(shapes_grid)).runs if isinstance(run, Pretrain))


def start(base, name, shapes, path, control):
    recipe = make_recipe(name, resolution=16, batch=16, stem="standard", probe_epochs=1)
    run = replace(base, method=name, recipe=recipe)
    folder, settings = RunFolder.of(path, run), Settings(data=str(shapes))
    folder.create(run, settings)
    return folder, pretrain(run, folder, settings, ONE, control)


@pytest.mark.slow
@pytest.mark.parametrize("name", METHODS)
def test_stopped_and_resumed_it_is_the_run_left_alone(base, shapes, tmp_path, name):
    """48 images in three steps an epoch, two epochs; stopped within the first and within the second."""
    whole, result = start(base, name, shapes, tmp_path / "whole", Control())
    for looks in (1, 2):
        with pytest.raises(Interrupted):
            start(base, name, shapes, tmp_path / "torn", StopAfter(looks))
    torn, result_of_torn = start(base, name, shapes, tmp_path / "torn", Control())
    assert result_of_torn == result
    one, other = (torch.load(folder.checkpoint, weights_only=True) for folder in (whole, torn))
    for key, value in one["method"].items():
        assert torch.equal(value, other["method"][key]), key
    lines, lines_of_torn = (
        [{key: value for key, value in json.loads(line).items() if key not in TIMES} for line in text.splitlines()]
        for text in (whole.metrics.read_text(), torn.metrics.read_text())
    )
    assert lines == lines_of_torn
    assert [line["epoch"] for line in lines] == [-1, 0, 1]
    assert all({"knn_f1", "linear_f1", "rankme", "embedding_std"} <= line.keys() for line in lines)
    drawn = sorted(path.name for path in whole.pictures.glob("*.png")) if whole.pictures.exists() else []
    assert [name in ("vae", "bigbigan")] * 4 == [bool(drawn)] * 4
    assert drawn == sorted(path.rpartition("/")[2] for line in lines for path in line.get("pictures", {}).values())
