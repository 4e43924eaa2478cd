"""Run folders: the state that files say, and what may and may not be changed by hand."""

from __future__ import annotations

import json
import os
from dataclasses import replace

import pytest

from noisewise.errors import UserError
from noisewise.runs.failure import Failure
from noisewise.runs.files import write_json
from noisewise.runs.folder import RunFolder, Settings, State
from noisewise.runs.lease import Lease
from tests.runs.examples import FINETUNE, PRETRAIN, RUNS


@pytest.fixture
def folder(tmp_path) -> RunFolder:
    folder = RunFolder.of(tmp_path, FINETUNE)
    folder.create(FINETUNE, Settings())
    return folder


def dead_lease(folder: RunFolder) -> None:
    folder.lease.write_text(json.dumps({"host": "gone", "place": "gone", "pid": 1, "started": "1"}))
    os.utime(folder.lease, (0, 0))


FAILURE = Failure("oom", "out of memory", "Set a smaller batch.")


def test_making_the_object_touches_nothing(tmp_path):
    assert RunFolder.of(tmp_path, FINETUNE).state() is State.WAITING
    assert list(tmp_path.iterdir()) == []


def test_a_created_run_waits(folder):
    assert folder.state() is State.WAITING


def test_a_leased_run_is_running_whatever_failed_before(folder):
    write_json(folder.failure, FAILURE.to_dict())
    with Lease(folder.lease):
        assert folder.state() is State.RUNNING
    assert folder.state() is State.FAILED
    assert folder.read_failure() == FAILURE


def test_a_dead_holder_that_said_nothing_is_lost(folder):
    dead_lease(folder)
    assert folder.state() is State.LOST


def test_a_dead_holder_that_said_why_failed(folder):
    dead_lease(folder)
    write_json(folder.failure, FAILURE.to_dict())
    assert folder.state() is State.FAILED


def test_a_result_alone_means_done(folder):
    dead_lease(folder)
    write_json(folder.failure, FAILURE.to_dict())
    write_json(folder.result, {"f1_best": 0.5})
    assert folder.state() is State.DONE
    assert folder.read_result() == {"f1_best": 0.5}


def test_files_that_are_not_there_read_as_none(folder):
    assert folder.read_result() is None
    assert folder.read_failure() is None


@pytest.mark.parametrize("run", RUNS, ids=lambda run: run.stage)
def test_the_run_is_read_back_from_its_folder(tmp_path, run):
    folder = RunFolder.of(tmp_path, run)
    folder.create(run, Settings())
    assert folder.path == tmp_path / run.stage / run.key
    assert RunFolder(folder.path).read_run() == run


def test_creating_again_changes_settings_and_not_the_config(folder):
    written = folder.config.stat().st_mtime_ns
    folder.create(FINETUNE, Settings(threads=3, wandb="offline"))
    assert folder.config.stat().st_mtime_ns == written
    assert folder.read_settings() == Settings(threads=3, wandb="offline")


def test_a_config_changed_by_hand_is_refused(folder):
    text = folder.config.read_text()
    assert "lr: 0.01" in text
    folder.config.write_text(text.replace("lr: 0.01", "lr: 0.02"))
    changed = replace(FINETUNE, recipe=replace(FINETUNE.recipe, lr=0.02))
    with pytest.raises(UserError, match=rf"changed by hand.*key is now {changed.key}.*Remove the folder"):
        folder.read_run()


def test_a_config_with_an_unknown_key_is_refused_with_its_path(folder):
    folder.config.write_text(folder.config.read_text() + "surprise: 1\n")
    with pytest.raises(UserError, match=r"'surprise' in .*config\.yaml"):
        folder.read_run()


def test_a_folder_without_a_config_is_no_run_folder(tmp_path):
    with pytest.raises(UserError, match=r"no run folder.*config\.yaml"):
        RunFolder(tmp_path / "finetune" / "abc").read_run()


def test_the_data_folder_may_be_in_the_home(folder, monkeypatch):
    monkeypatch.setenv("HOME", "/home/ada")
    folder.create(FINETUNE, Settings(data="~/images"))
    assert folder.read_settings().data == "/home/ada/images"


def test_an_unknown_setting_is_refused(folder):
    folder.settings.write_text('{"treads": 2}')
    with pytest.raises(UserError, match=r"'treads' in .*settings\.json.*'threads'"):
        folder.read_settings()


def test_parents_lie_beside(folder):
    assert folder.parent(PRETRAIN).path == folder.root / "pretrain" / PRETRAIN.key


@pytest.mark.parametrize("text", ["", "- 1\n", "a: [", "\x00"])
def test_a_damaged_config_is_the_users_to_mend(folder, text):
    folder.config.write_text(text)
    with pytest.raises(UserError, match=r"config\.yaml"):
        folder.read_run()
