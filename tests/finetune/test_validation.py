"""Which labels choose the best epoch, and what they are called."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from noisewise.data.noise import label_set, validation_label_set
from noisewise.finetune.validation import validation_labels
from noisewise.runs.config import Noise


def pack_of(folder, wrong_given: bool = True) -> SimpleNamespace:
    """As much of a pack as is looked at: 4,000 samples, every fourth for validation; every tenth given label is off."""
    labels = np.random.default_rng(0).integers(0, 4, 4000)
    off = (np.arange(4000) % 10 == 0) & wrong_given
    places = {"train": np.flatnonzero(np.arange(4000) % 4 != 0), "val": np.arange(0, 4000, 4)}
    return SimpleNamespace(
        folder=folder,
        content="abc",
        labels=labels,
        given=np.where(off, (labels + 1) % 4, labels),
        classes=list("abcd"),
        indices=places.__getitem__,
    )


@pytest.mark.parametrize("noise", [Noise("symmetric", 0.4), Noise("given"), Noise()])
def test_clean_is_the_truth_where_it_is_known(tmp_path, noise):
    pack = pack_of(tmp_path)
    labels, chosen_by = validation_labels(pack, noise, "clean")
    assert chosen_by == "clean" and (labels == pack.labels[::4]).all()
    assert not (tmp_path / "noise").exists()


def test_noisy_has_the_noise_of_training_by_a_draw_of_its_own(tmp_path):
    pack, noise = pack_of(tmp_path), Noise("symmetric", 0.4)
    before = label_set(pack, noise).fingerprint
    labels, chosen_by = validation_labels(pack, noise, "noisy")
    wrong = labels != pack.labels[::4]
    assert chosen_by == "noisy" and wrong.mean() == pytest.approx(0.4, abs=0.05)
    assert labels.dtype == np.int64 and labels.shape == (1000,)
    assert label_set(pack, noise).fingerprint == before
    of_training = (label_set(pack, noise).labels != pack.labels[pack.indices("train")])[:1000]
    assert abs(np.corrcoef(wrong, of_training)[0, 1]) < 0.1


def test_noisy_under_given_labels_is_what_was_given(tmp_path):
    pack = pack_of(tmp_path)
    labels, chosen_by = validation_labels(pack, Noise("given"), "noisy")
    assert chosen_by == "noisy" and (labels == pack.given[::4]).all() and (labels != pack.labels[::4]).any()


@pytest.mark.parametrize("select", ["clean", "noisy"])
def test_given_labels_that_are_all_there_is_are_called_so(tmp_path, select):
    pack = pack_of(tmp_path, wrong_given=False)
    labels, chosen_by = validation_labels(pack, Noise("given"), select)
    assert chosen_by == "given" and (labels == pack.given[::4]).all()


def test_every_part_of_the_key_changes_the_validation_draw(tmp_path):
    noises = [Noise("symmetric", 0.4), Noise("symmetric", 0.4, seed=1), Noise("pairflip", 0.4)]
    assert len({validation_label_set(pack_of(tmp_path), noise).fingerprint for noise in noises}) == 3
