"""The commands that a person types for one run: prepare, pretrain, finetune, report; alone and under torchrun."""

from __future__ import annotations

import csv
import json
import os
import re
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest
from tests.processes import run_script

from noisewise.grid.files import DatasetFile
from noisewise.grid.names import READERS
from noisewise.runs.config import Invariance, Normalise, Source, Split

JOBS = Path(__file__).parents[2] / "jobs"
NETWORK = ("resolution=16", "stem=standard", "epochs=2", "batch=16", "decay_from_epoch=0")
QUICK = (*NETWORK, "recipe=quick", "device=cpu", "threads=1")


@pytest.fixture
def job(tmp_path):
    """Call a command with words: its exit status and what it said."""

    def call(name: str, *words: str) -> tuple[int, str]:
        said = tmp_path / "said"
        return run_script(JOBS / f"{name}.py", words, said, without_slurm()), said.read_text()

    return call


def without_slurm() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("SLURM_")}


@pytest.fixture(scope="module")
def where(shapes, tmp_path_factory) -> tuple[str, ...]:
    runs = tmp_path_factory.mktemp("jobs") / "runs"
    return (f"dataset={shapes / 'shapes.yaml'}", f"data={shapes}", f"runs={runs}")


def folders(where, stage: str) -> list[Path]:
    return sorted((Path(where[2].removeprefix("runs=")) / stage).glob("*"))


def test_help_of_prepare_names_every_key_of_a_dataset_file(job):
    code, output = job("prepare", "help=true")
    keys = [item.name for part in (DatasetFile, Source, Split, Normalise, Invariance) for item in fields(part)]
    assert code == 0 and not [key for key in keys if key not in output]
    assert not [kind for kind in READERS if kind not in output]


def test_prepare_says_what_it_packed(job, where):
    code, output = job("prepare", *where)
    assert code == 0, output
    assert "72 images in 3 classes" in output and "made in" in output
    assert len(list(folders(where, "prepare"))) == 1 and "sheets" in output
    code, output = job("prepare", *where)
    assert code == 0 and "it was made on" in output and "made in" not in output, output


def test_finetune_runs_what_it_stands_on_first(job, where):
    words = ("init=simclr", "method=coteaching", "noise=symmetric", "rate=0.2", *QUICK)
    code, output = job("finetune", *where, *words, "recipe.x=1")
    assert code == 2 and "unknown key 'recipe'" in output
    code, output = job("finetune", *where, *words)
    assert code == 2, output  # the pretraining takes its batch of 256 from the recipe
    assert "simclr's batch of 256 is larger than the 72 images there are at most; set" in output


def test_finetune_on_labels_that_are_noisy_already(job, where, shapes):
    """And under noise that looks at the images; 47 of the shapes are for training."""
    found = {}
    for words in (("noise=given",), ("noise=instance", "rate=0.4"), ("noise=pairflip", "rate=0.4")):
        code, output = job("finetune", *where, "method=cross_entropy", *words, *QUICK)
        assert code == 0, output
        found[words[0]] = output
    sets = [json.loads(path.read_text()) for path in shapes.glob("packs/*/noise/*.json")]
    rates = {known["kind"]: known["realised_rate"] for known in sets}
    assert rates["given"] is None, "a folder of classes has no other labels to hold them against"
    assert 0.1 < rates["instance"] < 0.7 and 0.1 < rates["pairflip"] < 0.7


def test_pretrain_under_torchrun_then_finetune(job, where):
    torchrun = (sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2")
    command = [*torchrun, str(JOBS / "pretrain.py"), *where, "method=simclr", *QUICK]
    done = subprocess.run(command, capture_output=True, text=True, timeout=200, env=without_slurm())
    assert done.returncode == 0, done.stdout + done.stderr
    folder = next(folder for folder in folders(where, "pretrain") if (folder / "result.json").exists())
    assert (folder / "encoder.pt").exists()
    assert json.loads((folder / "provenance.json").read_text())["attempts"][-1]["ranks"] == 2
    code, output = job("finetune", *where, "method=cross_entropy", *QUICK)
    assert code == 0, output
    assert "f1_best" in output


def test_an_audit_of_labels_as_they_are_then_again_without_training(job, where):
    words = ("method=cross_entropy", "noise=given", "audit=true", *QUICK)
    code, output = job("finetune", *where, *words)
    assert code == 0, output
    page = Path(re.search(r"look at +(\S+audit.html)", output)[1])
    table = page.with_suffix(".csv").read_text().splitlines()
    assert len(table) == 1 + 48 and re.search(r"noise rate, estimated: 0\.\d\d\n", output)
    assert f": labelled {table[1].split(',')[3]}, looks like" in output and table[1].split(",")[1] in output
    page.unlink()
    code, output = job("finetune", *where, *words)
    assert code == 0 and page.exists(), output
    assert "finetune shapes" not in output and str(page) in output


def test_a_single_run_on_a_fraction(job, where):
    code, output = job("finetune", *where, "method=cross_entropy", "data.fraction=0.25", *QUICK)
    assert code == 0, output
    assert "shapes 25% random > cross_entropy, none, seed 0" in output
    assert re.search(r"train_images +12\n", output)


def test_a_grid_on_a_fraction_from_submit_to_report(job, shapes, shapes_grid, tmp_path):
    small = ("init=[simclr]", "finetune=[cross_entropy]")
    words = (f"grid={shapes_grid}", f"data={shapes}", f"runs={tmp_path / 'runs'}", *small)
    code, output = job("submit", *words, "data.fraction=0.5")
    assert code == 0, output
    assert "On shapes (50% of its training images) at symmetric 0.4" in output
    standing = {}
    for fraction in ("0.5", "1.0"):
        code, output = job("status", *words, f"data.fraction={fraction}", "json=true")
        assert code == 0, output
        standing[fraction] = {stage: counts["done"] for stage, counts in json.loads(output)["stages"].items()}
    assert standing == {
        "0.5": {"prepare": 1, "pretrain": 1, "finetune": 1},
        "1.0": {"prepare": 1, "pretrain": 0, "finetune": 0},
    }
    code, output = job("report", *words, "data.fraction=[0.5,1.0]", f"out={tmp_path / 'report'}")
    assert code == 0, output
    lines = list(csv.DictReader((tmp_path / "report" / "results.csv").open()))
    assert [(line["fraction"], line["state"], line["train_images"]) for line in lines] == [
        ("0.5", "done", "24"),
        ("1.0", "waiting", ""),
    ]
    assert (tmp_path / "report" / "figures" / "f1_vs_size.png").exists()


@pytest.mark.parametrize(
    ("name", "words", "message"),
    [
        ("pretrain", ("method=simcrl",), "unknown pretraining method 'simcrl'"),
        ("finetune", ("method=dividemix", "cross_entropy_epochs=80"), "only 80 epochs"),
        ("finetune", ("method=coteaching", "noise=symetric", "rate=0.2"), "Did you mean 'symmetric'"),
        ("finetune", ("method=coteaching", "noise=symmetric", "rate=-0.2"), "at least 0 and below 1"),
        ("finetune", ("method=coteaching", "noise=symmetric", "rate=1.2"), "at least 0 and below 1"),
        ("finetune", ("method=coteaching", "rate=0.2"), "needs a kind of noise"),
        ("finetune", ("method=coteaching", "noise=symmetric"), "needs a rate"),
        ("pretrain", ("method=simclr", "epochs=5"), "decay_from_epoch is 10"),
        ("finetune", ("method=coteaching", "epocs=3"), "Did you mean 'epochs'"),
        ("finetune", ("method=coteaching", "device=tpu"), "device"),
        ("finetune", ("method=coteaching", "data.fraction=0"), "data.fraction is 0; it must be a number above 0"),
        ("finetune", ("method=coteaching", "data.fraction=[0.1,0.2]"), "give one number"),
        ("pretrain", ("method=simclr", "data.fractoin=0.1"), "Did you mean 'fraction'"),
    ],
)
def test_bad_words_exit_with_two_and_start_nothing(job, where, name, words, message):
    code, output = job(name, *where, *words)
    assert code == 2, output
    assert message in output and "Traceback" not in output


def test_a_folder_without_images_is_a_classed_failure(job, tmp_path):
    (tmp_path / "nothing").mkdir()
    (tmp_path / "nothing.yaml").write_text("source: {kind: folder, root: nothing}")
    code, output = job("prepare", f"dataset={tmp_path}/nothing.yaml", f"data={tmp_path}", f"runs={tmp_path}/runs")
    assert code == 1
    assert "failed (data)" in output and str(tmp_path / "nothing") in output
