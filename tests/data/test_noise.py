from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from scipy.stats import binomtest, chisquare
from sklearn.metrics import confusion_matrix

from noisewise.data.corrupt import KINDS
from noisewise.data.noise import label_set, validation_label_set
from noisewise.data.pack import Pack
from noisewise.data.subset import training_rows
from noisewise.errors import RunError, UserError
from noisewise.grid.noises import NOISE
from noisewise.runs.config import Noise

LIB = Path(__file__).resolve().parents[2] / "lib"
CLASSES = 5


def pack_of(folder: Path, count: int = 20_000, content: str = "abc") -> SimpleNamespace:
    """As much of a pack as label sets look at: every second sample is for training."""
    labels = np.random.default_rng(0).integers(0, CLASSES, count)
    return SimpleNamespace(
        folder=folder,
        content=content,
        labels=labels,
        given=np.where(np.arange(count) % 10 == 0, (labels + 1) % CLASSES, labels),
        classes=[str(label) for label in range(CLASSES)],
        indices=lambda split: np.arange(0, count, 2),
    )


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.8])
def test_symmetric_noise_has_its_rate_and_is_uniform(tmp_path, rate):
    pack = pack_of(tmp_path)
    found = label_set(pack, Noise("symmetric", rate))
    clean = pack.labels[::2]
    assert (found.clean == clean).all() and found.labels.dtype == np.int64 and found.labels.shape == clean.shape
    flips = int((found.labels != clean).sum())
    assert found.realised_rate == flips / len(clean)
    assert binomtest(flips, len(clean), rate).pvalue > 1e-3
    assert (found.confusion == confusion_matrix(clean, found.labels)).all()
    for label in range(CLASSES):
        assert chisquare(np.delete(found.confusion[label], label)).pvalue > 1e-3


def test_none_is_clean(tmp_path):
    found = label_set(pack_of(tmp_path), Noise())
    assert (found.labels == found.clean).all() and found.realised_rate == 0
    assert np.count_nonzero(found.confusion - np.diag(np.diag(found.confusion))) == 0


def test_every_part_of_the_key_changes_the_draw(tmp_path):
    sets = [
        label_set(pack_of(tmp_path / "a"), Noise("symmetric", 0.2)),
        label_set(pack_of(tmp_path / "a"), Noise("symmetric", 0.25)),
        label_set(pack_of(tmp_path / "a"), Noise("symmetric", 0.2, seed=1)),
        label_set(pack_of(tmp_path / "b", content="def"), Noise("symmetric", 0.2)),
    ]
    assert len({found.fingerprint for found in sets}) == len(sets)
    flips = [found.labels != found.clean for found in sets]
    assert abs(np.corrcoef(flips[0], flips[1])[0, 1]) < 0.05  # independent draws, not nested ones


def test_another_process_draws_the_same(raw_pack, tmp_path):
    first = label_set(raw_pack, Noise("symmetric", 0.5, seed=7))
    copy = shutil.copytree(raw_pack.folder, tmp_path / "copy", ignore=shutil.ignore_patterns("noise"))
    code = (
        "from pathlib import Path; from noisewise.data.pack import Pack; from noisewise.data.noise import label_set\n"
        "from noisewise.runs.config import Noise\n"
        f"print(label_set(Pack.open(Path({str(copy)!r})), Noise('symmetric', 0.5, seed=7)).fingerprint)"
    )
    environment = {"PYTHONPATH": str(LIB), "PYTHONHASHSEED": "99"}
    found = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert found.stdout.strip() == first.fingerprint, found.stderr


def test_size_and_format_of_the_pack_do_not_change_the_draw(raw_pack, jpeg_pack):
    noise = Noise("symmetric", 0.4)
    assert label_set(raw_pack, noise).fingerprint == label_set(jpeg_pack, noise).fingerprint


def test_a_saved_set_is_read_not_drawn_again(raw_pack, monkeypatch):
    noise = Noise("symmetric", 0.3)
    first = label_set(raw_pack, noise)
    monkeypatch.setattr("noisewise.data.noise.KINDS", {"symmetric": None})
    again = label_set(Pack.open(raw_pack.folder), noise)
    assert again.fingerprint == first.fingerprint and (again.labels == first.labels).all()
    saved = json.loads((raw_pack.folder / "noise" / "symmetric-0.3-0.json").read_text())
    assert saved["realised_rate"] == first.realised_rate and saved["confusion"] == first.confusion.tolist()


def test_a_set_of_other_images_or_a_damaged_one_is_refused(tmp_path):
    noise = Noise("symmetric", 0.5)
    label_set(pack_of(tmp_path), noise)
    with pytest.raises(RunError, match="is of another content") as error:
        label_set(pack_of(tmp_path, content="def"), noise)
    assert error.value.kind == "data" and "Remove" in error.value.advice
    path = tmp_path / "noise" / "symmetric-0.5-0.npz"
    np.savez(path, labels=np.zeros(10_000, np.int64))
    with pytest.raises(RunError, match="fingerprint differs"):
        label_set(pack_of(tmp_path), noise)
    path.write_bytes(path.read_bytes()[:50])
    with pytest.raises(RunError, match="cannot be read"):
        label_set(pack_of(tmp_path), noise)


@pytest.mark.parametrize("rate", [-0.1, 1.0, 1.5, float("nan")])
def test_rates_outside_the_legal_range(tmp_path, rate):
    with pytest.raises(UserError, match="must be at least 0 and below 1"):
        label_set(pack_of(tmp_path), Noise("symmetric", rate))


def test_a_matrix_may_move_every_label_of_its_classes(tmp_path):
    noise = Noise("transition", 1.0, matrix={"0": {"1": 1.0}, "1": {"0": 1.0}})
    found = label_set(pack_of(tmp_path), noise)
    assert (found.labels == np.array([1, 0, 2, 3, 4])[found.clean]).all()


def test_unknown_kind(tmp_path):
    with pytest.raises(UserError, match="unknown noise 'symetric'. Did you mean 'symmetric'"):
        label_set(pack_of(tmp_path), Noise("symetric", 0.5))


def test_grids_know_which_kinds_can_be_made():
    assert set(NOISE) == set(KINDS)


def test_a_fraction_has_the_labels_that_all_images_have(raw_pack):
    noise = Noise("symmetric", 0.4, seed=3)
    whole, half, tenth = (label_set(raw_pack, noise, fraction) for fraction in (1.0, 0.5, 0.1))
    for part, fraction in ((half, 0.5), (tenth, 0.1)):
        rows = training_rows(raw_pack, fraction)
        assert (part.labels == whole.labels[rows]).all() and (part.clean == whole.clean[rows]).all()
        assert part.realised_rate == np.mean(part.labels != part.clean)
        assert part.confusion.sum() == len(rows) == len(part.labels)
    assert len({found.fingerprint for found in (whole, half, tenth)}) == 3


def test_a_fraction_is_no_draw_of_its_own(raw_pack, tmp_path):
    folder = shutil.copytree(raw_pack.folder, tmp_path / "copy", ignore=shutil.ignore_patterns("noise"))
    noise = Noise("symmetric", 0.4, seed=4)
    part = label_set(Pack.open(folder), noise, 0.2)
    assert [path.name for path in sorted((folder / "noise").iterdir())] == [
        "symmetric-0.4-4.json",
        "symmetric-0.4-4.npz",
    ]
    assert part.fingerprint == label_set(raw_pack, noise, 0.2).fingerprint


def test_validation_labels_are_saved_beside_those_of_training(raw_pack, tmp_path, monkeypatch):
    folder = shutil.copytree(raw_pack.folder, tmp_path / "copy", ignore=shutil.ignore_patterns("noise"))
    pack, noise = Pack.open(folder), Noise("symmetric", 0.4, seed=5)
    first = validation_label_set(pack, noise)
    assert [path.name for path in sorted((folder / "noise").iterdir())] == [
        "symmetric-0.4-5-val.json",
        "symmetric-0.4-5-val.npz",
    ]
    saved = json.loads((folder / "noise" / "symmetric-0.4-5-val.json").read_text())
    assert (saved["split"], saved["fingerprint"]) == ("val", first.fingerprint)
    assert (first.clean == pack.labels[pack.indices("val")]).all()
    monkeypatch.setattr("noisewise.data.noise.KINDS", {"symmetric": None})
    assert (validation_label_set(pack, noise).labels == first.labels).all()


def test_validation_labels_are_not_taken_for_those_of_training(raw_pack, tmp_path):
    folder = shutil.copytree(raw_pack.folder, tmp_path / "copy", ignore=shutil.ignore_patterns("noise"))
    pack, noise = Pack.open(folder), Noise("symmetric", 0.4, seed=6)
    validation_label_set(pack, noise)
    for end in ("json", "npz"):
        (folder / "noise" / f"symmetric-0.4-6-val.{end}").rename(folder / "noise" / f"symmetric-0.4-6.{end}")
    with pytest.raises(RunError, match="is of another split"):
        label_set(pack, noise)


def test_a_set_that_was_saved_before_splits_were_told_is_of_training(tmp_path):
    noise = Noise("symmetric", 0.5)
    first = label_set(pack_of(tmp_path), noise)
    path = tmp_path / "noise" / "symmetric-0.5-0.json"
    path.write_text(
        json.dumps({name: value for name, value in json.loads(path.read_text()).items() if name != "split"})
    )
    assert label_set(pack_of(tmp_path), noise).fingerprint == first.fingerprint
