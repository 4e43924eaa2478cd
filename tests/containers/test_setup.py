"""What make's set-up does, when it does it again, and what it says where it cannot; nothing is installed here."""

from __future__ import annotations

import configparser
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of what set-up reads."""
    for name in ("Makefile", "setup.cfg", "pyproject.toml", "LICENSE"):
        shutil.copy(ROOT / name, tmp_path)
    shutil.copytree(ROOT / "containers", tmp_path / "containers")
    (tmp_path / "README.md").write_text("# noisewise\n")
    return tmp_path


def normalised(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def test_every_requirement_has_one_tested_version():
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    wanted = [config["options"]["install_requires"], *config["options.extras_require"].values()]
    names = {normalised(name) for text in wanted for name in text.split()}
    lines = (ROOT / "containers" / "constraints.txt").read_text().splitlines()
    pins = dict(line.split("==") for line in lines if not line.startswith("#"))
    assert names <= set(pins)


def test_the_pinned_ffcv_is_the_one_that_is_built():
    built = re.search(r"^version=(\S+)", (ROOT / "containers" / "ffcv" / "build.sh").read_text(), re.MULTILINE)
    assert f"ffcv=={built[1]}\n" in (ROOT / "containers" / "constraints.txt").read_text()
    assert f'version="{built[1]}"' in (ROOT / "containers" / "ffcv" / "setup.py").read_text()


def test_planning_needs_neither_torch_nor_ffcv():
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    assert set(config["options"]["install_requires"].split()) == {"omegaconf", "rich", "submitit", "tqdm"}


def test_set_up_happens_once_and_again_when_its_inputs_change(checkout):
    (checkout / "containers" / "setup.sh").write_text("mkdir -p .venv; echo set up >>calls; touch .venv/ready\n")

    def times_set_up() -> int:
        subprocess.run(["make", "-s", "setup"], cwd=checkout, check=True)
        return len((checkout / "calls").read_text().splitlines())

    assert [times_set_up(), times_set_up()] == [1, 1]
    for changed in ("setup.cfg", "containers/constraints.txt", "containers/ffcv/build.sh"):
        before = times_set_up()
        later = (checkout / ".venv" / "ready").stat().st_mtime + 1
        os.utime(checkout / changed, (later, later))
        assert times_set_up() == before + 1
        os.utime(checkout / ".venv" / "ready", (later + 1, later + 1))


def set_up_with(python: str, checkout: Path) -> subprocess.CompletedProcess[str]:
    """Set-up with a stand-in for Python, on a machine without virtualenv, and without apt, as if nobody were root."""
    programs = checkout / "bin"
    programs.mkdir()
    for name in ("bash", "dirname", "mkdir", "id", "touch", "tail", "cat"):
        (programs / name).symlink_to(shutil.which(name))
    (programs / "python3").write_text(python)
    (programs / "python3").chmod(0o755)
    environment = {"PATH": str(programs), "PYTHON": "python3"}
    command = ["bash", "containers/setup.sh"]
    return subprocess.run(command, cwd=checkout, env=environment, capture_output=True, text=True)


def test_an_old_python_is_said(checkout):
    done = set_up_with('#!/bin/sh\n[ "$1" = --version ] && echo Python 3.9.2 && exit\nexit 1\n', checkout)
    assert done.returncode == 1
    assert "python3 is not Python 3.11 or newer (Python 3.9.2)" in done.stderr
    assert "make setup PYTHON=" in done.stderr


def test_all_that_is_missing_is_said_at_once(checkout):
    stand_in = f'#!/bin/sh\ncase "$2" in *ensurepip*) exit 1;; *) exec {sys.executable} "$@";; esac\n'
    done = set_up_with(stand_in, checkout)
    assert done.returncode == 1
    assert f"apt-get install python3.{sys.version_info.minor}-venv g++" in done.stderr


def test_the_wheel_holds_every_file_of_the_package(checkout):
    """What is installed elsewhere, in a container say, is all that lies in lib/."""
    shutil.copytree(ROOT / "lib", checkout / "lib", ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    files = {str(path.relative_to(checkout / "lib")) for path in (checkout / "lib").rglob("*") if path.is_file()}
    command = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", "wheel", "."]
    subprocess.run(command, cwd=checkout, check=True, capture_output=True)
    (wheel,) = (checkout / "wheel").glob("noisewise-*.whl")
    held = set(zipfile.ZipFile(wheel).namelist())
    assert files - held == set()
