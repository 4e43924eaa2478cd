"""Groups found for a fine-tuning: once, for all who come later, the same in any process; and what can go wrong."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from PIL import Image

from noisewise.data.noise import label_set
from noisewise.data.pack import Pack
from noisewise.data.prepare import prepare
from noisewise.errors import RunError
from noisewise.finetune import groups
from noisewise.finetune.groups import with_groups
from noisewise.runs.config import GroupProbe, Noise, Prepare, Pretrain, Source
from noisewise.runs.folder import RunFolder, Settings
from noisewise.runs.methods import SimCLR
from noisewise.train.ranks import Ranks

RANKS = Ranks(0, 1, torch.device("cpu"))
PROBE = GroupProbe("random", resolution=16, stem="standard")
NOISE = Noise("class_dependent", 0.4, probe=PROBE)
COLOURS = {"crimson": (200, 30, 30), "lime": (30, 200, 30), "navy": (30, 30, 200), "ruby": (200, 30, 40)}
PREPARE = Prepare("colours", Source(root="colours"), size=16)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A data folder and the pack of 4 x 40 noisy images in plain colours; crimson and ruby are hardly told apart."""
    data, rng = tmp_path_factory.mktemp("data"), np.random.default_rng(0)
    for name, colour in COLOURS.items():
        (data / "colours" / name).mkdir(parents=True)
        for number in range(40):
            pixels = (rng.normal(colour, 25, (16, 16, 3))).clip(0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(data / "colours" / name / f"{number:02}.png")
    return data, prepare(PREPARE, data)


@pytest.fixture
def pack(made, tmp_path) -> Pack:
    """A copy of the pack in which nothing was found yet."""
    return Pack.open(shutil.copytree(made[1].folder, tmp_path / "pack", ignore=shutil.ignore_patterns("noise")))


def find(pack, tmp_path, noise=NOISE) -> Noise:
    return with_groups(noise, pack, RunFolder(tmp_path / "runs" / "finetune" / "abc"), Settings(), RANKS)


def test_look_alikes_are_found_and_labels_are_those_of_listed_groups(pack, tmp_path):
    found = find(pack, tmp_path)
    assert found == Noise("class_dependent", 0.4, groups=[["crimson", "ruby"], ["lime"], ["navy"]])
    noisy = label_set(pack, found)
    assert noisy.realised_rate > 0.1
    wrong = noisy.labels != noisy.clean
    assert {pack.classes[label] for label in noisy.clean[wrong]} == {"crimson", "ruby"}


def test_what_was_found_is_kept_with_the_label_sets(pack, tmp_path):
    find(pack, tmp_path)
    (path,) = (pack.folder / "noise").glob("groups-*.json")
    kept = json.loads(path.read_text())
    assert path.stem == f"groups-{PROBE.key}" and kept["encoder"] == "random, resnet18 at 16 px"
    assert np.array(kept["confusion"]).sum() == kept["images"] == len(pack.indices("train"))
    assert np.array(kept["confusion"]).sum(1).tolist() == np.bincount(pack.labels[pack.indices("train")]).tolist()
    assert kept["classes"] == pack.classes


def test_they_are_found_once(pack, tmp_path, monkeypatch):
    first = find(pack, tmp_path)
    monkeypatch.setattr(groups, "_find", None)
    assert find(pack, tmp_path) == first


def test_of_two_at_once_one_finds_and_the_other_reads(pack, tmp_path, monkeypatch):
    finders, really_find = [], groups._find

    def slowly(*args):
        finders.append(args)
        time.sleep(0.3)  # long enough for the other to look
        really_find(*args)

    monkeypatch.setattr(groups, "_find", slowly)
    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(lambda _: find(pack, tmp_path), range(2))
    assert first == second and first.groups[0] == ["crimson", "ruby"]
    assert len(finders) == 1
    assert [path.suffix for path in (pack.folder / "noise").iterdir()] == [".json"]


def test_what_another_found_meanwhile_is_left_and_gone_by(pack, tmp_path, monkeypatch):
    """As where a machine was suspended while it was finding, and its lease taken over."""
    path, really_confuse = pack.folder / "noise" / f"groups-{PROBE.key}.json", groups.probe_confusion
    others = json.dumps({"groups": [["crimson", "navy"], ["lime"], ["ruby"]], "content": pack.content, "encoder": "e"})

    def too_late(*args):
        path.write_text(others)
        return really_confuse(*args)

    monkeypatch.setattr(groups, "probe_confusion", too_late)
    assert find(pack, tmp_path).groups[0] == ["crimson", "navy"]
    assert path.read_text() == others


@pytest.mark.slow
def test_another_process_with_more_threads_finds_the_same(pack, tmp_path):
    find(pack, tmp_path)
    (path,) = (pack.folder / "noise").glob("groups-*.json")
    here = path.read_bytes()
    path.unlink()
    code = (
        "import torch; torch.set_num_threads(2)\n"
        "from pathlib import Path; from noisewise.data.pack import Pack; from tests.finetune import test_found_groups\n"
        f"test_found_groups.find(Pack.open(Path({str(pack.folder)!r})), Path({str(tmp_path)!r}))"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    assert path.read_bytes() == here


def test_listed_groups_are_left_as_they_are(pack, tmp_path):
    noise = Noise("class_dependent", 0.4, groups=[["crimson", "lime"]])
    assert find(pack, tmp_path, noise) is noise
    assert not (pack.folder / "noise").exists()


def test_nothing_is_confused(pack, tmp_path, monkeypatch):
    monkeypatch.setattr(groups, "probe_confusion", lambda *_: 30 * np.eye(4, dtype=np.int64))
    with pytest.raises(
        RunError, match="no groups of look-alike classes were found: features of random, resnet18"
    ) as error:
        find(pack, tmp_path)
    assert error.value.kind == "config" and "groups: [[a, b], [c, d]]" in error.value.advice
    monkeypatch.setattr(groups, "_find", None)  # the next run need not look again
    with pytest.raises(RunError, match="no groups of look-alike classes were found"):
        find(pack, tmp_path)


def test_features_that_are_not_finite_are_a_failure_of_class_nan(pack, tmp_path, monkeypatch):
    count = len(pack.indices("train"))
    monkeypatch.setattr(groups, "extract", lambda *_: np.full((count, 2), np.nan, dtype=np.float32))
    with pytest.raises(RunError, match=f"random features of {count} of {count} training images") as error:
        find(pack, tmp_path)
    assert error.value.kind == "nan" and "groups: {auto: INIT}" in error.value.advice
    assert not list((pack.folder / "noise").iterdir())


def test_files_that_will_not_do(pack, tmp_path):
    find(pack, tmp_path)
    (path,) = (pack.folder / "noise").glob("groups-*.json")
    values = json.loads(path.read_text())
    for text, words in (
        (json.dumps(values | {"content": "other"}), "are of other images"),
        ("[1]", "cannot be read"),
        ('{"groups', "cannot be read"),
    ):
        path.write_text(text)
        with pytest.raises(RunError, match=words) as error:
            find(pack, tmp_path)
        assert error.value.kind == "data" and "Remove" in error.value.advice


def test_a_pretrainings_encoder_is_looked_for_among_the_runs(pack, tmp_path):
    pretrain = Pretrain(PREPARE, "simclr", SimCLR(resolution=16))
    noise = Noise("class_dependent", 0.4, probe=GroupProbe(pretrain, resolution=16, stem="standard"))
    with pytest.raises(RunError, match=f"has left no .*runs/pretrain/{pretrain.key}/encoder.pt"):
        find(pack, tmp_path, noise)
