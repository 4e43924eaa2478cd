"""Provenance: what a result comes from, and the seconds of all its attempts."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

import noisewise
from noisewise.runs import provenance
from noisewise.runs.files import read_json
from noisewise.runs.folder import RunFolder

PACKAGE = Path(noisewise.__file__).parent


@pytest.fixture
def folder(tmp_path) -> RunFolder:
    return RunFolder(tmp_path / "finetune" / "abc")


@pytest.fixture
def clock(monkeypatch):
    """Seconds that pass when told to."""

    class Clock:
        now = 1_000_000.0

    monkeypatch.setattr(provenance.time, "time", lambda: Clock.now)
    return Clock


def test_one_attempt(folder, clock):
    provenance.begin(folder)
    clock.now += 100
    assert provenance.end(folder, ranks=2, gpus=2) == {"wall_seconds": 100.0, "gpu_seconds": 200.0}
    values = read_json(folder.provenance)
    assert values["wall_seconds"] == 100.0
    assert values["attempts"][0] | {"pid": os.getpid(), "ranks": 2} == values["attempts"][0]


def test_attempts_add_up(folder, clock):
    for seconds, gpus in ((10, 1), (20, 4)):
        provenance.begin(folder)
        clock.now += seconds
        totals = provenance.end(folder, ranks=1, gpus=gpus)
        clock.now += 1000  # in the queue
    assert totals == {"wall_seconds": 30.0, "gpu_seconds": 90.0}
    assert len(read_json(folder.provenance)["attempts"]) == 2


def test_a_killed_attempt_counts_up_to_its_last_sign_of_life(folder, clock):
    provenance.begin(folder)
    folder.metrics.write_text("{}\n")
    os.utime(folder.metrics, (clock.now + 40, clock.now + 40))
    clock.now += 500
    provenance.begin(folder)
    assert read_json(folder.provenance)["wall_seconds"] == 40.0
    clock.now += 60
    assert provenance.end(folder, ranks=1, gpus=1) == {"wall_seconds": 100.0, "gpu_seconds": 100.0}


def test_an_attempt_killed_before_any_sign_counts_nothing(folder, clock):
    provenance.begin(folder)
    provenance.begin(folder)
    assert provenance.end(folder, ranks=1, gpus=0) == {"wall_seconds": 0.0, "gpu_seconds": 0.0}


@pytest.mark.parametrize("damage", [lambda path: path.unlink(), lambda path: path.write_text('{"attempts": ')])
def test_a_lost_or_damaged_file_costs_no_result(folder, damage):
    provenance.begin(folder)
    damage(folder.provenance)
    assert provenance.end(folder, ranks=1, gpus=1)["wall_seconds"] < 1
    provenance.begin(folder)
    assert len(read_json(folder.provenance)["attempts"]) == 2


def test_slurm_and_the_image_are_noted(monkeypatch):
    monkeypatch.setenv("SLURM_JOB_ID", "17")
    monkeypatch.delenv("SLURM_ARRAY_JOB_ID", raising=False)
    monkeypatch.setenv("APPTAINER_CONTAINER", "/images/noisewise.sif")
    monkeypatch.setenv("NOISEWISE_IMAGE_DIGEST", "sha256:abc")
    facts = provenance.collect()
    assert facts["slurm"]["SLURM_JOB_ID"] == "17"
    assert "SLURM_ARRAY_JOB_ID" not in facts["slurm"]
    assert (facts["image"], facts["image_digest"]) == ("/images/noisewise.sif", "sha256:abc")


def test_the_versions_are_those_installed():
    import numpy
    import omegaconf

    versions = provenance.collect()["versions"]
    assert versions["numpy"] == numpy.__version__
    assert versions["omegaconf"] == omegaconf.__version__
    assert versions["python"] == sys.version.split()[0]


def test_collecting_imports_no_torch_and_takes_no_time():
    code = "import sys; from noisewise.runs.provenance import collect; collect(); print('torch' in sys.modules)"
    started = time.monotonic()
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
    assert time.monotonic() - started < 5


def git(folder: Path, *words: str) -> str:
    identity = ["-c", "user.name=Ada", "-c", "user.email=ada@example.org"]
    done = subprocess.run(["git", "-C", folder, *identity, *words], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def facts_of(package_root: Path, **environment: str) -> tuple[str | None, bool | None]:
    """The commit and dirtiness that the package at `package_root` finds of itself."""
    code = "from noisewise.runs.provenance import collect; f = collect(); print(f['git_commit'], f['git_dirty'])"
    env = os.environ | {"PYTHONPATH": str(package_root)} | environment
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=env)
    commit, dirty = done.stdout.split()
    return (None, None) if commit == "None" else (commit, dirty == "True")


@pytest.fixture
def checkout(tmp_path) -> Path:
    """A fresh git checkout of the part of the package that provenance needs."""
    if not shutil.which("git"):
        pytest.skip("no git")
    shutil.copytree(PACKAGE / "runs", tmp_path / "lib/noisewise/runs", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("__init__.py", "errors.py"):
        shutil.copy(PACKAGE / name, tmp_path / "lib/noisewise")
    (tmp_path / ".gitignore").write_text("__pycache__\n.venv\n")
    git(tmp_path, "init", "-q")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-qm", "first")
    return tmp_path


def test_a_clean_checkout_and_a_changed_one(checkout):
    commit = git(checkout, "rev-parse", "HEAD")
    assert facts_of(checkout / "lib") == (commit, False)
    (checkout / "README.md").write_text("elsewhere in the checkout")
    assert facts_of(checkout / "lib") == (commit, False)
    (checkout / "lib/noisewise/new_method.py").write_text("")
    assert facts_of(checkout / "lib") == (commit, True)


def test_a_package_installed_inside_another_checkout_has_no_commit(checkout):
    installed = checkout / ".venv/site-packages"
    shutil.copytree(checkout / "lib", installed)
    assert facts_of(installed) == (None, None)


def test_without_git_there_is_no_commit(checkout, tmp_path):
    assert facts_of(checkout / "lib", PATH=str(tmp_path)) == (None, None)
