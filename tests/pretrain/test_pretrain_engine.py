"""The engine: which images a pretraining sees, and what it says where they are too few."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from noisewise.data.engine import open_pack
from noisewise.data.subset import training_images
from noisewise.errors import RunError
from noisewise.grid.expand import read_grid
from noisewise.launch.payload import execute
from noisewise.pretrain import engine, prober, simclr
from noisewise.runs.config import Pretrain
from noisewise.runs.folder import RunFolder, Settings
from noisewise.train.control import Control
from noisewise.train.ranks import Ranks

RANKS = Ranks(0, 1, torch.device("cpu"))


@pytest.fixture
def run(shapes_grid) -> Pretrain:
    """SimCLR over the 48 training images of the shapes, two epochs, batches of 16."""
    return next(run for run in read_grid(str(shapes_grid)).runs if isinstance(run, Pretrain))


def pretrain(run, data, path):
    folder, settings = RunFolder.of(path, run), Settings(data=str(data))
    folder.create(run, settings)
    return engine.pretrain(run, folder, settings, RANKS, Control())


def test_a_fraction_trains_on_its_images_alone(shapes, run, tmp_path, monkeypatch):
    run, asked = replace(run, fraction=0.5), []

    class Spy:
        def __init__(self, source, indices):
            self.source, self.indices = source, indices

        def batches(self, steps):
            asked.extend(np.concatenate(steps).tolist())
            return self.source.batches(steps)

        def close(self):
            self.source.close()

    real = engine.open_images
    monkeypatch.setattr(engine, "open_images", lambda pack, device, rows: Spy(real(pack, device, rows), rows))
    result = pretrain(run, shapes, tmp_path)
    pack = open_pack(run.prepare, Settings(data=str(shapes)), RANKS)
    used = training_images(pack, 0.5)
    probed = set(pack.indices("val").tolist())
    assert result["train_images"] == len(used) == 24
    assert set(asked) <= set(used.tolist()) | probed
    trained = [number for number in asked if number not in probed]
    assert len(trained) == 2 * 16 + 2 * 24  # two epochs of a batch, the remainder sits out; two looks at all of them


def test_a_fraction_smaller_than_a_batch_is_refused_with_what_to_set(shapes, run, tmp_path):
    with pytest.raises(RunError) as error:
        pretrain(replace(run, fraction=0.1), shapes, tmp_path)
    assert error.value.kind == "config"
    assert (
        "batch of 16 is larger than the 6 training images that data.fraction=0.1 leaves of the 48 of shapes"
        in error.value.message
    )
    assert "data.fraction to at least 0.334, or recipe.pretrain.simclr.batch to at most 6" in error.value.advice
    assert pretrain(replace(run, fraction=0.334), shapes, tmp_path)["train_images"] >= 16


def test_too_few_images_even_in_all_are_refused(shapes, run, tmp_path):
    large = replace(run.recipe, batch=64)
    for fraction, count in ((1.0, 48), (0.1, 6)):
        with pytest.raises(RunError, match=f"batch of 64 is larger than the {count} training images") as error:
            pretrain(replace(run, recipe=large, fraction=fraction), shapes, tmp_path)
        assert error.value.kind == "config"


def test_features_alike_for_all_images_end_the_run(shapes, run, tmp_path, monkeypatch):
    monkeypatch.setattr(prober, "COLLAPSED", 10.0)
    with pytest.raises(RunError, match="collapsed") as error:
        pretrain(run, shapes, tmp_path)
    assert error.value.kind == "collapse" and "lr" in error.value.advice
    lines = RunFolder.of(tmp_path, run).metrics.read_text().splitlines()
    assert [json.loads(line)["epoch"] for line in lines] == [-1, 0]  # the last epoch is the one that was looked at


def test_a_batch_that_does_not_fit_is_a_failure_that_says_what_to_set(shapes, run, tmp_path, monkeypatch):
    def too_much(self, batch):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB")

    monkeypatch.setattr(simclr.Method, "forward", too_much)
    folder = RunFolder.of(tmp_path, run)
    folder.create(run, Settings(data=str(shapes), device="cpu"))
    assert execute(folder, Control(), RANKS) == 1
    failure = folder.read_failure()
    assert failure.kind == "oom" and "accumulate=2" in failure.advice


def test_a_batch_that_ranks_and_parts_do_not_divide_is_refused(shapes, run, tmp_path):
    with pytest.raises(RunError, match="cannot be shared equally by 1 ranks in 3 parts") as error:
        pretrain(replace(run, recipe=replace(run.recipe, accumulate=3)), shapes, tmp_path)
    assert error.value.kind == "config" and "batch to a multiple of 3" in error.value.advice


@pytest.mark.slow
def test_a_vision_transformer_pretrains_in_parts(shapes, run, tmp_path):
    recipe = replace(run.recipe, backbone="vit_tiny", accumulate=2, epochs=1)
    result = pretrain(replace(run, recipe=recipe), shapes, tmp_path)
    assert np.isfinite(result["loss"]) and result["rankme"] > 1
