"""Places that cannot be written to: a read-only runs folder, a full disk; nothing already computed is lost."""

from __future__ import annotations

import os
import subprocess
from contextlib import contextmanager
from pathlib import Path

import pytest

from noisewise.errors import UserError
from noisewise.grid.expand import read_grid
from noisewise.launch.payload import execute
from noisewise.launch.submit import commit
from noisewise.runs.folder import RunFolder, Settings, State
from noisewise.train.control import Control

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small file system")


@contextmanager
def mounted(path: Path, options: str):
    path.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(path)], check=True)
    try:
        yield path
    finally:
        subprocess.run(["umount", "-l", str(path)], check=True)


def test_a_read_only_runs_folder_is_named_before_anything_starts(shapes_grid, tmp_path):
    grid = read_grid(str(shapes_grid))
    with mounted(tmp_path / "small", "size=1m,ro") as place, pytest.raises(UserError) as error:
        commit(grid.runs, place / "runs", Settings())
    assert "Read-only file system" in str(error.value) and "runs=DIR" in str(error.value)


def test_a_disk_that_fills_up_fails_the_run_and_loses_nothing(shapes, shapes_grid, tmp_path):
    """Room for what a run writes at first, not for its checkpoint; then there is room, and it goes on."""
    grid = read_grid(str(shapes_grid))
    prepare, run = grid.runs[0], next(run for run in grid.finetunes if run.init == "random")
    settings = Settings(data=str(shapes), threads=1, device="cpu")
    with mounted(tmp_path / "small", "size=20m") as place:
        commit([prepare, run], place, settings)
        assert execute(RunFolder.of(place, prepare), Control()) == 0
        folder = RunFolder.of(place, run)
        assert execute(folder, Control()) == 1
        failure = folder.read_failure()
        assert failure.kind == "node" and "No space left" in failure.message and "Free some space" in failure.advice
        assert folder.state() is State.FAILED
        assert RunFolder.of(place, prepare).state() is State.DONE
        assert not list(folder.path.glob(".*.pt.*")), "half-written files are removed"
        subprocess.run(["mount", "-o", "remount,size=400m", str(place)], check=True)
        assert execute(folder, Control()) == 0
        assert folder.state() is State.DONE and folder.read_failure() is None
