"""The audit of a run: features that no label has touched, files and result that fit each other."""

from __future__ import annotations

import csv
from contextlib import closing

import numpy as np
import pytest
import torch
from drawn import draw

from noisewise.audit.engine import audit
from noisewise.data.loader import open_images
from noisewise.data.prepare import prepare
from noisewise.finetune.initial_features import initial_features
from noisewise.grid.expand import read_grid
from noisewise.runs.folder import RunFolder, Settings
from noisewise.train.ranks import Ranks

RANKS = Ranks(0, 1, torch.device("cpu"))


@pytest.fixture(scope="module")
def parts(shapes, shapes_grid):
    """A fine-tuning of the shapes, and what its engine would hand on."""
    run = next(run for run in read_grid(str(shapes_grid)).finetunes if run.init == "random")
    pack = prepare(run.prepare, shapes)
    with closing(open_images(pack, RANKS.device)) as source:
        yield run, Settings(data=str(shapes)), pack, source, pack.indices("train")


def leave(folder: RunFolder, train: np.ndarray, known: bool, rate: float = 0.3) -> tuple[np.ndarray, np.ndarray]:
    """What a run leaves of its training images; returns the labels, given and clean."""
    best, given, clean = draw(len(train), 3, rate)
    folder.path.mkdir(parents=True)
    np.savez(folder.train_predictions, index=train, given=given, clean=clean, known=known, best=best, last=best)
    return given, clean


@pytest.mark.parametrize("known", [True, False])
def test_result_and_table_fit_each_other(parts, tmp_path, known):
    run, settings, pack, source, train = parts
    folder = RunFolder.of(tmp_path, run)
    given, clean = leave(folder, train, known)
    result = audit(folder, pack, initial_features(run, folder, settings, source, train, RANKS))
    with open(folder.audit, newline="") as file:
        rows = list(csv.DictReader(file))
    assert sorted(int(row["index"]) for row in rows) == train.tolist()
    names, of = pack.names(), dict(zip(train.tolist(), zip(given, clean, strict=True), strict=True))
    for row in rows:
        place = int(row["index"])
        assert row["path"] == names[place] and row["given"] == pack.classes[of[place][0]] != row["suggested"]
        assert not known or row["true"] == pack.classes[of[place][1]]
    assert ("true" in rows[0]) == ("audit_average_precision" in result) == known
    assert 0 <= result["noise_rate_estimated"] <= 1 and np.shape(result["transition_estimated"]) == (3, 3)
    assert 0 <= result["suspects"] <= len(train)
    assert not known or result["audit_average_precision"] > (given != clean).mean()


def test_without_a_wrong_label_there_is_no_truth_to_tell(parts, tmp_path):
    """The clean control, or a dataset whose labels are all there is."""
    run, settings, pack, source, train = parts
    folder = RunFolder.of(tmp_path, run)
    leave(folder, train, known=True, rate=0)
    features = initial_features(run, folder, settings, source, train, RANKS)
    assert "audit_average_precision" not in audit(folder, pack, features)
    assert folder.audit.read_text().startswith("rank,path,index,given,suggested,score\n")


def test_the_encoder_is_the_one_that_training_began_from(parts, tmp_path):
    """Whatever has been drawn since, and the same each time."""
    run, settings, _, source, train = parts
    folder = RunFolder.of(tmp_path, run)
    one = initial_features(run, folder, settings, source, train, RANKS)
    torch.rand(7)
    np.testing.assert_array_equal(one, initial_features(run, folder, settings, source, train, RANKS))
    assert len(one) == len(train) and one.std(axis=0).max() > 0
