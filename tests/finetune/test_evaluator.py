"""What is kept of the training images, and by which labels epochs are scored."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from sklearn.metrics import f1_score
from tests.finetune.small import train
from tests.train.test_ranks import on_two_ranks

from noisewise.data.noise import label_set, validation_label_set
from noisewise.data.pack import Pack, pack_folder
from noisewise.data.subset import training_images
from noisewise.finetune.evaluator import Evaluator
from noisewise.runs.config import Noise
from noisewise.runs.folder import RunFolder

LEARNT = ("memorised", "wrong_found_precision", "wrong_found_recall")


def of_training(folder: RunFolder) -> dict[str, np.ndarray]:
    with np.load(folder.train_predictions) as kept:
        return dict(kept)


def test_predictions_of_training_images_are_those_of_the_best_and_of_the_last_epoch(greys, run, tmp_path, monkeypatch):
    run, seen = replace(run, recipe=replace(run.recipe, epochs=3), fraction=0.5), {}
    keep_best = Evaluator.keep_best

    def spy(self, history):
        seen[history[-1]["epoch"]] = self.predict(training_images(self.pack, 0.5))
        keep_best(self, history)

    monkeypatch.setattr(Evaluator, "keep_best", spy)
    folder, result = train(run, greys, tmp_path)
    pack, kept = Pack.open(pack_folder(greys, run.prepare)), of_training(folder)
    noisy = label_set(pack, run.noise, 0.5)
    assert (kept["index"] == training_images(pack, 0.5)).all()
    assert (kept["given"] == noisy.labels).all() and (kept["clean"] == noisy.clean).all() and kept["known"]
    assert kept["best_epoch"] == result["best_epoch"]
    assert np.array_equal(kept["best"], seen[result["best_epoch"]]) and np.array_equal(kept["last"], seen[2])
    types = {"index": "int64", "given": "int64", "clean": "int64", "known": "bool", "best_epoch": "int64"}
    assert {name: str(kept[name].dtype) for name in kept} == {**types, "best": "float32", "last": "float32"}
    wrong = kept["given"] != kept["clean"]
    said = (kept["last"].argmax(1) == kept["given"])[wrong].mean()
    assert wrong.any() and result["memorised_last"] == pytest.approx(said) == 1 - result["wrong_found_recall_last"]


def test_killed_before_training_predictions_are_written_is_mended_on_resuming(greys, run, tmp_path, monkeypatch):
    def dies(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Evaluator, "keep_training_predictions", dies)
        with pytest.raises(KeyboardInterrupt):
            train(run, greys, tmp_path / "torn")
    torn, result = train(run, greys, tmp_path / "torn")
    whole, wanted = train(run, greys, tmp_path / "whole")
    assert torn.train_predictions.read_bytes() == whole.train_predictions.read_bytes()
    assert result == wanted


def test_noisy_selection_scores_by_noisy_labels_and_tests_by_clean_ones(greys, run, tmp_path, monkeypatch):
    run, said = replace(run, recipe=replace(run.recipe, select="noisy")), []
    predict = Evaluator.predict
    monkeypatch.setattr(
        Evaluator, "predict", lambda self, rows: said.append((rows, predict(self, rows))) or said[-1][1]
    )
    folder, result = train(run, greys, tmp_path)
    pack = Pack.open(pack_folder(greys, run.prepare))
    noisy = validation_label_set(pack, run.noise).labels
    assert result["selected_by"] == "noisy" and (noisy != pack.labels[pack.indices("val")]).any()
    first = json.loads(folder.metrics.read_text().splitlines()[0])
    for split, labels, (rows, probabilities) in (
        ("val", noisy, said[0]),
        ("test", pack.labels[pack.indices("test")], said[1]),
    ):
        assert (rows == pack.indices(split)).all()
        wanted = f1_score(labels, probabilities.argmax(1), labels=np.unique(labels), average="macro", zero_division=0)
        assert first[f"{split}_f1"] == pytest.approx(wanted)


def test_given_labels_alone_leave_open_which_are_wrong(greys, run, tmp_path):
    folder, result = train(replace(run, noise=Noise("given")), greys, tmp_path)
    assert result["selected_by"] == "given" and result["realised_rate"] is None
    assert [result[f"{name}_{epoch}"] for name in LEARNT for epoch in ("best", "last")] == 6 * [None]
    assert not of_training(folder)["known"]


def test_scores_of_the_best_and_of_the_last_epochs_are_told(greys, run, tmp_path):
    folder, result = train(replace(run, noise=Noise()), greys, tmp_path)
    for epoch in ("best", "last"):
        assert len(result[f"sensitivity_per_class_{epoch}"]) == 3
        assert 0 <= result[f"ece_{epoch}"] <= 1
        assert result[f"balanced_accuracy_{epoch}"] == pytest.approx(np.mean(result[f"sensitivity_per_class_{epoch}"]))
        assert result[f"memorised_{epoch}"] is None  # there is no wrong label
    last = json.loads(folder.metrics.read_text().splitlines()[-1])
    assert last["test_ece"] == result["ece_last"]
    assert last["test_sensitivity_per_class"] == result["sensitivity_per_class_last"]


def trained(ranks, path, run, data):
    folder, _ = train(run, data, path, ranks=ranks)
    return {name: torch.from_numpy(values) for name, values in of_training(folder).items()} if ranks.first else {}


@pytest.mark.slow
def test_two_ranks_keep_each_training_image_once(greys, run, tmp_path):
    """A linear probe: on so small a problem a whole network goes its own way from the first rounding on."""
    run = replace(run, recipe=replace(run.recipe, train="head"), fraction=0.9)
    two, _ = on_two_ranks(partial(trained, run=run, data=greys), tmp_path)
    one = of_training(train(run, greys, tmp_path / "one")[0])
    assert len(one["index"]) % 2 == 1
    for name, values in one.items():
        np.testing.assert_allclose(two[name].numpy(), values, atol=1e-4)
