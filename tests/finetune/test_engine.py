"""The engine: images meet their own labels, what is kept fits the history, a lost pack is made again."""

from __future__ import annotations

import copy
import json
import shutil
from contextlib import closing
from dataclasses import replace
from unittest.mock import Mock

import numpy as np
import pytest
import torch
from sklearn.metrics import calinski_harabasz_score
from tests.finetune.small import RANKS, train

from noisewise.data.augment import evaluation_view
from noisewise.data.loader import open_images
from noisewise.data.noise import label_set
from noisewise.data.pack import Pack, pack_folder
from noisewise.data.subset import training_images
from noisewise.errors import RunError
from noisewise.finetune import cross_entropy
from noisewise.finetune.engine import finetune
from noisewise.grid.expand import read_grid
from noisewise.runs.folder import RunFolder, Settings
from noisewise.train.control import Control


def test_every_image_meets_its_own_noisy_label_once_an_epoch(greys, run, tmp_path, monkeypatch):
    seen = []

    class Spy(cross_entropy.Method):
        def forward(self, batch):
            levels = batch.images[:, 0, 0, 0].tolist()
            seen.extend(zip(levels, self.labels[batch.index].tolist(), strict=True))
            return super().forward(batch)

    monkeypatch.setattr(cross_entropy, "Method", Spy)
    train(run, greys, tmp_path)
    pack = Pack.open(pack_folder(greys, run.prepare))
    noisy = label_set(pack, run.noise)
    number = 3 * np.arange(20)[None] + np.arange(3)[:, None]  # the pack's order: class by class, then by name
    levels = 4 * number.reshape(-1)[pack.indices("train")]
    assert (noisy.labels != noisy.clean).any()
    assert (levels // 4 % 3 == noisy.clean).all()
    expected = sorted(zip(levels.tolist(), noisy.labels.tolist(), strict=True))
    assert sorted(seen[: len(expected)]) == expected
    assert sorted(seen[len(expected) :]) == expected


def test_a_fraction_trains_on_its_images_alone_and_scores_on_all(greys, run, tmp_path, monkeypatch):
    run, seen, scored = replace(run, fraction=0.3), [], []

    class Spy(cross_entropy.Method):
        def forward(self, batch):
            levels = batch.images[:, 0, 0, 0].tolist()
            seen.extend(zip(levels, self.labels[batch.index].tolist(), strict=True))
            return super().forward(batch)

        def predict(self, images):
            scored.append(len(images))
            return super().predict(images)

    monkeypatch.setattr(cross_entropy, "Method", Spy)
    _, result = train(run, greys, tmp_path)
    pack = Pack.open(pack_folder(greys, run.prepare))
    noisy, used = label_set(pack, run.noise, 0.3), training_images(pack, 0.3)
    number = (3 * np.arange(20)[None] + np.arange(3)[:, None]).reshape(-1)
    expected = sorted(zip((4 * number[used]).tolist(), noisy.labels.tolist(), strict=True))
    assert len(expected) == 12 and sorted(seen) == sorted(2 * expected)
    assert scored == 2 * [len(pack.indices("val")), len(pack.indices("test"))] + 2 * [12]
    told = {name: result[name] for name in ("train_images", "test_images", "realised_rate", "label_set")}
    rest = {"realised_rate": noisy.realised_rate, "label_set": noisy.fingerprint}
    assert told == {"train_images": 12, "test_images": len(pack.indices("test")), **rest}


def test_too_few_images_for_the_ranks_are_refused(greys, run, tmp_path):
    run = replace(run, fraction=0.01)
    folder = RunFolder.of(tmp_path, run)
    two = Mock(wraps=RANKS, first=True, world=2, device=RANKS.device, barrier=lambda: None)
    with pytest.raises(RunError, match="3 training images .* too few for 2 ranks") as error:
        finetune(run, folder, Settings(data=str(greys)), two, Control())
    assert error.value.kind == "config" and "data.fraction" in error.value.advice


def test_what_is_kept_is_the_best_epochs(greys, run, tmp_path):
    run = replace(run, recipe=replace(run.recipe, epochs=4))
    folder, result = train(run, greys, tmp_path)
    history = [json.loads(line) for line in folder.metrics.read_text().splitlines()]
    best = max(history, key=lambda record: record["val_f1"])
    with np.load(folder.predictions) as kept:
        assert kept["epoch"] == best["epoch"] == result["best_epoch"]
        pack = Pack.open(pack_folder(greys, run.prepare))
        assert (kept["index"] == pack.indices("test")).all() and (pack.labels[kept["index"]] == kept["labels"]).all()
        accuracy = (kept["probabilities"].argmax(1) == kept["labels"]).mean()
    assert accuracy == pytest.approx(best["test_accuracy"]) == result["accuracy_best"]
    trace = np.trace(result["confusion_best"]) / np.sum(result["confusion_best"])
    assert trace == pytest.approx(result["accuracy_best"])


def test_killed_between_checkpoint_and_keeping_the_best_is_mended_on_resuming(greys, run, tmp_path, monkeypatch):
    from noisewise.finetune import evaluator

    def dies(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(evaluator.Evaluator, "keep_best", dies)
        with pytest.raises(KeyboardInterrupt):
            train(run, greys, tmp_path / "torn")
    torn, _ = train(run, greys, tmp_path / "torn")
    whole, _ = train(run, greys, tmp_path / "whole")
    with np.load(torn.predictions) as one, np.load(whole.predictions) as other:
        assert one["epoch"] == other["epoch"]
        assert np.array_equal(one["probabilities"], other["probabilities"])


def test_a_pack_that_is_gone_is_made_again(greys, run, tmp_path):
    train(run, greys, tmp_path / "first")
    shutil.rmtree(greys / "packs")
    _, result = train(run, greys, tmp_path / "second")
    assert result["test_images"] == len(Pack.open(pack_folder(greys, run.prepare)).indices("test"))


def test_the_model_is_readable_anywhere(greys, run, tmp_path):
    folder, _ = train(run, greys, tmp_path)
    weights = torch.load(folder.model, weights_only=True)
    assert all(value.device.type == "cpu" and value.is_contiguous() for value in weights.values())
    assert "network.backbone.conv1.weight" in weights


def test_how_far_apart_the_initial_weights_keep_the_classes(shapes, shapes_grid, tmp_path, monkeypatch):
    run = next(run for run in read_grid(str(shapes_grid)).finetunes if run.method == "cross_entropy")
    started = []

    class Spy(cross_entropy.Method):
        def __init__(self, *parts):
            super().__init__(*parts)
            started.append(copy.deepcopy(self.network.backbone).eval())

    monkeypatch.setattr(cross_entropy, "Method", Spy)
    _, result = train(run, shapes, tmp_path)
    pack = Pack.open(pack_folder(shapes, run.prepare))
    used = pack.indices("train")
    with closing(open_images(pack, RANKS.device)) as source, torch.inference_mode():
        (images,) = source.batches([used])
        features = started[0](evaluation_view(images, 16, run.normalise)).numpy()
    index = calinski_harabasz_score(features, pack.labels[used]) * 2 / (len(used) - 3)
    assert result["separability"] == pytest.approx(index, rel=1e-4)
    assert result["groups"] == [] and result["initial_weights"] == "random initial weights"
