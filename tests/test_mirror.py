"""Whatever wandb does, the training neither stops nor waits; what it mirrors is what the file says."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from noisewise import mirror
from noisewise.runs.folder import RunFolder, Settings
from noisewise.track import Tracker, read_metrics
from tests.tracking import RUN, epochs, script

OFFLINE = Settings(wandb="offline", group="demo")


@pytest.fixture
def folder(tmp_path) -> RunFolder:
    return RunFolder.of(tmp_path, RUN)


@pytest.fixture
def fake_wandb(tmp_path, monkeypatch):
    """Puts a module named wandb before the real one; it writes what it is told to calls(), and misbehaves as asked."""
    calls = tmp_path / "calls.jsonl"

    def install(**misbehaviour: str) -> None:
        said = {"load": "", "init": "", "log": "", "finish": ""} | misbehaviour
        source = f"""
import json, time
{said["load"]}
def note(*call):
    with open({str(calls)!r}, "a") as file:
        file.write(json.dumps(call) + "\\n")
def Settings(**values):
    return values
def init(**values):
    note("init", values)
    {said["init"] or "pass"}
    return Run()
class Run:
    summary = {{}}
    def define_metric(self, *names, **how):
        note("define_metric", names, how)
    def log(self, values):
        {said["log"] or "pass"}
        note("log", values)
    def finish(self, exit_code):
        note("finish", self.summary, exit_code)
        {said["finish"] or "pass"}
"""
        module = tmp_path / "fake" / "wandb.py"
        module.parent.mkdir()
        module.write_text(source)
        real = mirror._environment

        def environment(folder: RunFolder) -> dict[str, str]:
            found = real(folder)
            return found | {"PYTHONPATH": f"{module.parent}{os.pathsep}{found['PYTHONPATH']}"}

        monkeypatch.setattr(mirror, "_environment", environment)

    install.calls = lambda: [json.loads(line) for line in calls.read_text().splitlines()] if calls.exists() else []
    return install


def test_off_opens_nothing_and_never_imports_wandb(folder):
    body = """
        tracker.log(epoch=0)
        tracker.close({"f1": 1.0})
        print("wandb" in sys.modules, os.path.exists(f"/proc/self/task/{os.getpid()}/children")
              and open(f"/proc/self/task/{os.getpid()}/children").read().split())
    """
    done = subprocess.run(script(folder, body), capture_output=True, text=True, check=True)
    assert done.stdout in ("False []\n", "False False\n")
    assert done.stderr == ""
    assert [path.name for path in folder.path.iterdir()] == ["metrics.jsonl"]


def test_the_mirror_is_told_what_the_file_says(folder, fake_wandb, capfd):
    fake_wandb()
    tracker = Tracker(folder, RUN, OFFLINE)
    for epoch in range(3):
        tracker.log(epoch=epoch, loss=epoch / 4, nothing=None)
    tracker.close({"f1_best": 0.5})
    init, metric, *logs, finish = fake_wandb.calls()
    assert {"id": RUN.key, "name": RUN.name, "group": "demo", "job_type": "pretrain"}.items() <= init[1].items()
    assert (init[1]["project"], init[1]["mode"], init[1]["config"]["seed"]) == ("noisewise", "offline", 3)
    assert init[1]["settings"]["x_stats_pid"] == os.getpid()
    assert metric == ["define_metric", ["*"], {"step_metric": "epoch"}]
    assert [values for _, values in logs] == [
        {name: value for name, value in record.items() if value is not None} for record in read_metrics(folder.metrics)
    ]
    assert finish == ["finish", {"f1_best": 0.5}, 0]
    assert capfd.readouterr().err == ""


def test_a_resumed_run_is_mirrored_from_its_checkpoint_on(folder, fake_wandb):
    fake_wandb()
    tracker = Tracker(folder, RUN, OFFLINE)
    tracker.log(epoch=0)
    position = tracker.position()
    tracker.log(epoch=1)
    tracker.close()
    tracker = Tracker(folder, RUN, OFFLINE)
    tracker.rewind(position)
    tracker.log(epoch=1)
    tracker.close({})
    told = [(call[0], call[1].get("epoch")) for call in fake_wandb.calls() if call[0] == "log"]
    assert told == [("log", 0), ("log", 1), ("log", 1)]
    assert [call[2] for call in fake_wandb.calls() if call[0] == "finish"] == [1, 0]
    assert {call[1]["id"] for call in fake_wandb.calls() if call[0] == "init"} == {RUN.key}


@pytest.mark.parametrize(
    ("misbehaviour", "told"),
    [
        ({"load": "raise ModuleNotFoundError('No module named wandb')"}, "nothing was mirrored: ModuleNotFoundError"),
        ({"load": "time.sleep(60)"}, "still busy after 1 s"),
        ({"init": "raise ConnectionError('refused')"}, "nothing was mirrored: ConnectionError: refused"),
        ({"init": "time.sleep(60)"}, "still busy after 1 s"),
        ({"init": "import os; os._exit(3)"}, "ended with status 3"),
        ({"log": "raise ValueError('too big')"}, "200 records were not mirrored: ValueError: too big"),
        ({"log": "time.sleep(60)"}, "still busy after 1 s"),
        ({"finish": "raise OSError(28, 'No space left on device')"}, "its run was not closed: OSError"),
        ({"finish": "time.sleep(60)"}, "still busy after 1 s"),
    ],
)
def test_whatever_wandb_does_the_training_goes_on(folder, fake_wandb, capfd, monkeypatch, misbehaviour, told):
    monkeypatch.setattr(mirror, "CLOSE_SECONDS", {"offline": 1.0})
    fake_wandb(**misbehaviour)
    tracker = Tracker(folder, RUN, OFFLINE)
    started = time.perf_counter()
    for epoch in range(200):
        tracker.log(epoch=epoch)
    assert (time.perf_counter() - started) / 200 < 0.005
    started = time.perf_counter()
    tracker.close({"f1": 1.0})
    assert time.perf_counter() - started < 3
    assert epochs(folder) == list(range(200))
    (line,) = capfd.readouterr().err.splitlines()
    assert line.startswith("wandb (offline): ")
    assert told in line


def test_without_a_server_the_mirror_is_kept_offline(folder, fake_wandb, capfd):
    fake_wandb(init="if values['mode'] == 'online': raise ConnectionError('refused')")
    tracker = Tracker(folder, RUN, Settings(wandb="online"))
    tracker.log(epoch=0)
    tracker.close({})
    assert [call[1]["mode"] for call in fake_wandb.calls() if call[0] == "init"] == ["online", "offline"]
    assert [call[1]["epoch"] for call in fake_wandb.calls() if call[0] == "log"] == [0]
    assert "kept offline" in capfd.readouterr().err


def test_a_mirror_that_cannot_be_started_is_said(folder, capfd, monkeypatch):
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    tracker = Tracker(folder, RUN, OFFLINE)
    tracker.log(epoch=0)
    tracker.close()
    assert "could not be started" in capfd.readouterr().err
    assert epochs(folder) == [0]


def test_closing_twice_or_before_the_first_line(folder, fake_wandb, capfd):
    fake_wandb()
    tracker = Tracker(folder, RUN, OFFLINE)
    tracker.close()
    tracker.close()
    assert fake_wandb.calls() == []
    assert capfd.readouterr().err == ""


def inspect(folder: RunFolder) -> dict:
    """What wandb's own reader says of the run's only segment."""
    (log,) = folder.path.glob("wandb/offline-run-*/*.wandb")
    command = [Path(sys.executable).with_name("wandb"), "leet", "inspect", "--summary", "--json", log]
    home = os.environ | {"HOME": str(folder.path)}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=home)
    return json.loads(done.stdout)


def test_wandb_reads_back_what_was_logged_offline(folder, capfd):
    pytest.importorskip("wandb")
    tracker = Tracker(folder, RUN, OFFLINE)
    for epoch in range(5):
        tracker.log(epoch=epoch, loss=1 / (epoch + 1))
    tracker.close({"f1_best": 0.5})
    told = inspect(folder)
    assert (told["run_id"], told["name"], told["state"]) == (RUN.key, RUN.name, "finished")
    assert told["config"]["recipe"]["temperature"] == 0.07
    assert {"epoch": 4, "loss": 0.2, "f1_best": 0.5}.items() <= told["summary"].items()
    assert capfd.readouterr() == ("", "")


def test_a_killed_training_leaves_its_mirror_complete(folder):
    pytest.importorskip("wandb")
    body = """
        for epoch in range(50):
            tracker.log(epoch=epoch)
        os.kill(os.getpid(), 9)
    """
    assert subprocess.run(script(folder, body, "offline")).returncode == -signal.SIGKILL
    deadline = time.monotonic() + 30
    while not list(folder.path.glob("wandb/offline-run-*/*.wandb")) or inspect(folder)["state"] != "failed":
        assert time.monotonic() < deadline
        time.sleep(0.2)
    assert inspect(folder)["summary"]["epoch"] == 49
