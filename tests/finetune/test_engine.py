"""The engine: images meet their own labels, what is kept fits the history, a lost pack is made again."""

from __future__ import annotations

import copy
import json
import shutil
from contextlib import closing, suppress
from dataclasses import replace
from unittest.mock import Mock

import numpy as np
import pytest
import torch
from sklearn.metrics import calinski_harabasz_score
from tests.finetune.small import RANKS, train
from tests.pretrain.small import Encoder
from tests.train.test_loop import StopAfter

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
from noisewise.runs.methods import FINETUNE
from noisewise.train.control import Control, Interrupted


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


class Looker(cross_entropy.Method):
    """Looks at the training images before each epoch, and keeps their levels of grey."""

    def __init__(self, *parts):
        super().__init__(*parts)
        self.register_buffer("levels", torch.zeros(len(self.labels)))
        self.looks = []

    def begin_epoch(self, epoch, look):
        network = Grey()
        self.levels.copy_(look(network)[:, 0])
        self.looks.append((epoch, network.training, self.training))


class Grey(torch.nn.Module):
    """Says an image's level of grey, for each of three classes."""

    def forward(self, images):
        return (images.mean((1, 2, 3)) * 0.226 + 0.449).round(decimals=2)[:, None].expand(-1, 3)


def looked(run, data, path, control=None):
    """The method of a run that looks, whether it comes to its end or is stopped."""
    made = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cross_entropy, "Method", lambda *parts: made.append(Looker(*parts)) or made[0])
        with suppress(Interrupted):
            train(run, data, path, control)
    return made[0]


@pytest.mark.usefixtures("few_weights")
def test_a_look_shows_every_training_image_once_and_in_order(greys, run, tmp_path):
    method = looked(replace(run, fraction=0.5), greys, tmp_path)
    pack = Pack.open(pack_folder(greys, run.prepare))
    number = (3 * np.arange(20)[None] + np.arange(3)[:, None]).reshape(-1)
    levels = 4 * number[training_images(pack, 0.5)] / 255
    np.testing.assert_allclose(method.levels.numpy(), levels, atol=0.03)
    assert method.looks == [(0, False, False), (1, False, False)]


@pytest.mark.usefixtures("few_weights")
def test_an_epoch_that_is_resumed_in_its_middle_is_not_begun_anew(greys, run, tmp_path):
    """36 images in batches of 16 are three steps an epoch; looks at the control come between them and behind."""
    assert looked(run, greys, tmp_path, StopAfter(1)).looks == [(0, False, False)]
    assert looked(run, greys, tmp_path, StopAfter(0)).looks == []  # to the end of the epoch
    assert looked(run, greys, tmp_path, StopAfter(0)).looks == [(1, False, False)]
    assert looked(run, greys, tmp_path).looks == []


@pytest.fixture
def few_weights(monkeypatch):
    """Networks of a few thousand weights: what is stopped and resumed again and again is written again and again."""
    monkeypatch.setattr("noisewise.finetune.engine.build_encoder", lambda *_: (Encoder(), "random"))


@pytest.mark.usefixtures("few_weights")
@pytest.mark.parametrize("method", FINETUNE)
def test_stopped_at_every_step_and_resumed_it_is_as_if_undisturbed(greys, run, tmp_path, method):
    """Two epochs of cross-entropy or of the ramp, and two after them."""
    estimated = {"assume_rate": "estimated", "ramp_epochs": 2}
    changes = {"dividemix": {"cross_entropy_epochs": 2}, "coteaching": estimated, "jocor": estimated}.get(method, {})
    recipe = FINETUNE[method](**{**vars(run.recipe), "epochs": 4, "lr": 0.05, **changes})
    run = replace(run, method=method, recipe=recipe)
    whole, result = train(run, greys, tmp_path / "whole")
    torn = None
    while torn is None:
        with suppress(Interrupted):
            torn, again = train(run, greys, tmp_path / "torn", StopAfter(1))
    assert result == again
    states = [torch.load(folder.checkpoint, weights_only=True)["method"] for folder in (whole, torn)]
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
    if "assume_rate" in changes:
        assert result["assume_rate"] == "estimated" and 0 <= result["assumed_rate"] < 1
        assert result["assumed_rate"] == states[0]["estimate"].item()
    else:
        assert "assumed_rate" not in result
    assert method != "dividemix" or not (states[0]["clean"] == 1).all()


def test_the_rate_that_is_known_is_the_labels_own(greys, run, tmp_path):
    recipe = FINETUNE["coteaching"](**{**vars(run.recipe), "epochs": 1, "assume_rate": "known"})
    _, result = train(replace(run, method="coteaching", recipe=recipe), greys, tmp_path)
    assert result["assumed_rate"] == result["realised_rate"] != run.noise.rate


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
