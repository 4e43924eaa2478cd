"""Training the head alone: for every method and backbone, the encoder stays what it was."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from tests.finetune.small import train
from tests.train.test_loop import StopAfter

from noisewise.errors import UserError
from noisewise.finetune import engine
from noisewise.grid.check import check_recipe
from noisewise.models.heads import Classifier
from noisewise.runs.methods import FINETUNE, exists
from noisewise.runs.recipe import FinetuneRecipe
from noisewise.train.control import Interrupted

METHODS = [(name, "resnet18") for name in FINETUNE if exists("finetune", name)]


def probe(run, method="cross_entropy", backbone="resnet18"):
    recipe = FINETUNE[method](**{**vars(run.recipe), "backbone": backbone, "train": "head"})
    return replace(run, method=method, recipe=recipe)


@pytest.mark.parametrize(("method", "backbone"), [*METHODS, ("cross_entropy", "vit_tiny")])
def test_the_encoder_is_the_same_to_the_bit_and_the_head_is_not(greys, run, tmp_path, monkeypatch, method, backbone):
    begun = []

    def spy(*parts, **more):
        model = Classifier(*parts, **more)
        begun.append({name: value.clone() for name, value in model.state_dict().items()})
        return model

    monkeypatch.setattr(engine, "Classifier", spy)
    folder, _ = train(probe(run, method, backbone), greys, tmp_path)
    end = torch.load(folder.checkpoint, weights_only=True)["method"]
    kept = torch.load(folder.model, weights_only=True)
    networks = list(dict.fromkeys(name.split(".")[0] for name in kept if ".head." in name))
    assert len(networks) == len(begun) >= 1
    for network, before in zip(networks, begun, strict=True):
        for state in (kept, end):
            changed = {name for name, value in before.items() if not torch.equal(state[f"{network}.{name}"], value)}
            assert changed == {"head.weight", "head.bias"}


def test_stopped_and_resumed_it_is_as_if_left_alone(greys, run, tmp_path):
    run = probe(run)
    with pytest.raises(Interrupted):
        train(run, greys, tmp_path / "torn", StopAfter(3))
    torn, result = train(run, greys, tmp_path / "torn")
    whole, wanted = train(run, greys, tmp_path / "whole")
    assert result == wanted
    assert torn.train_predictions.read_bytes() == whole.train_predictions.read_bytes()
    assert torn.predictions.read_bytes() == whole.predictions.read_bytes()


@pytest.mark.parametrize(("key", "value", "nearest"), [("train", "heads", "head"), ("select", "clear", "clean")])
def test_settings_that_are_none_are_refused(key, value, nearest):
    with pytest.raises(UserError, match=f"unknown {key} '{value}'.*Did you mean '{nearest}'"):
        check_recipe(FinetuneRecipe(**{key: value}), "here")
