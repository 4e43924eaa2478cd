"""Leases: one holder at a time, and dead holders stand in nobody's way."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from noisewise.runs import lease
from noisewise.runs.lease import STALE_SECONDS, Lease, LeaseHeld, alive, describe, make_once

RACES = 60


@pytest.fixture
def path(tmp_path) -> Path:
    return tmp_path / "lease.json"


def here(**other) -> str:
    """The text of a lease of this very process, but for `other`."""
    pid = os.getpid()
    return json.dumps({"host": "n1", "place": lease._place(), "pid": pid, "started": lease._started(pid)} | other)


def holder_of(path: Path) -> subprocess.Popen:
    """A process that holds the lease, in its block by now."""
    code = f"""
from pathlib import Path
from noisewise.runs.lease import Lease
with Lease(Path({str(path)!r})):
    print("held", flush=True)
    input()
"""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    process = subprocess.Popen([sys.executable, "-c", code], **pipes)
    assert process.stdout.readline() == b"held\n"
    return process


def test_a_lease_lives_as_long_as_its_block(path):
    assert not alive(path)
    with Lease(path):
        assert alive(path)
        assert str(os.getpid()) in describe(path)
    assert not alive(path)
    assert list(path.parent.iterdir()) == []


def test_a_block_that_raises_gives_the_lease_back(path):
    with pytest.raises(ValueError, match="x"), Lease(path):
        raise ValueError("x")
    assert not path.exists()


def test_a_living_holder_keeps_others_out(path):
    with holder_of(path) as holder:
        with pytest.raises(LeaseHeld, match=f"process {holder.pid} on"), Lease(path):
            pytest.fail("two holders")
        holder.stdin.write(b"\n")
    with Lease(path):
        assert alive(path)


def test_a_killed_holder_is_dead_at_once_and_taken_over_from(path):
    with holder_of(path) as holder:
        holder.send_signal(signal.SIGKILL)
    assert path.exists()
    assert not alive(path)
    with Lease(path):
        assert str(os.getpid()) in describe(path)
    assert list(path.parent.iterdir()) == []


def test_a_zombie_is_dead(path):
    holder = holder_of(path)
    holder.kill()
    os.waitid(os.P_PID, holder.pid, os.WEXITED | os.WNOWAIT)  # ended, but not yet collected by its parent
    assert Path(f"/proc/{holder.pid}/stat").exists()
    assert not alive(path)
    holder.communicate()


def test_there_is_no_lease_below_a_file():
    assert not alive(Path(__file__) / "lease.json")


def test_a_reused_process_id_is_not_the_holder(path):
    path.write_text(here())
    assert alive(path)
    path.write_text(here(started="1"))
    assert not alive(path)


@pytest.mark.parametrize("elsewhere", [{"place": "another boot"}, {"place": None}])
def test_a_holder_elsewhere_is_judged_by_its_last_touch(path, elsewhere):
    """Another host, a host before its reboot, or a container whose process ids mean nothing here."""
    path.write_text(here(pid=999_999_999, **elsewhere))
    assert alive(path)
    old = time.time() - STALE_SECONDS - 1
    os.utime(path, (old, old))
    assert not alive(path)


@pytest.mark.parametrize("text", ["", "{", "null"])
def test_a_lease_cut_in_writing_holds_nothing(path, text):
    path.write_text(text)
    assert not alive(path)
    assert describe(path) == "nobody"
    with Lease(path):
        assert alive(path)


def test_the_holder_touches_its_lease(path, monkeypatch):
    monkeypatch.setattr(lease, "TOUCH_SECONDS", 0.01)
    with Lease(path):
        os.utime(path, (0, 0))
        deadline = time.monotonic() + 5
        while path.stat().st_mtime == 0 and time.monotonic() < deadline:
            time.sleep(0.01)
        assert time.time() - path.stat().st_mtime < 10


def test_a_holder_that_lost_its_lease_leaves_the_new_one_alone(path, monkeypatch):
    """As after a long suspension on another host."""
    monkeypatch.setattr(lease, "TOUCH_SECONDS", 0.01)
    with Lease(path):
        path.write_text(here(host="n2", place="elsewhere"))
        os.utime(path, (1000, 1000))
        time.sleep(0.1)
        assert path.stat().st_mtime == 1000
    assert path.exists()


def test_a_lock_that_the_file_system_does_not_have_is_done_without(path, monkeypatch):
    def no_locks(*_):
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr(lease.fcntl, "flock", no_locks)
    path.write_text(here(started="1"))
    with Lease(path):
        assert alive(path)


def test_what_is_not_there_is_made_once(path, tmp_path):
    product, made = tmp_path / "product", []

    def make():
        assert alive(path)
        made.append(1)
        product.write_text("made")

    make_once(product, path, make)
    make_once(product, path, make)
    assert made == [1] and not path.exists()


def test_what_another_makes_is_waited_for(path, tmp_path, monkeypatch):
    monkeypatch.setattr(lease, "WAIT_SECONDS", 0)
    product, waits = tmp_path / "product", []

    def on_wait():
        waits.append(1)
        if len(waits) == 3:
            product.write_text("the other's")

    with Lease(path):  # this process counts as another: it is alive
        make_once(product, path, lambda: pytest.fail("two make"), on_wait)
    assert product.read_text() == "the other's" and len(waits) == 3


def test_where_the_other_fails_this_one_makes(path, tmp_path, monkeypatch):
    monkeypatch.setattr(lease, "WAIT_SECONDS", 0)
    product, other = tmp_path / "product", Lease(path)
    other.__enter__()
    make_once(product, path, lambda: product.write_text("mine"), lambda: other.__exit__())
    assert product.read_text() == "mine"


def racer(path: Path, barrier, wins) -> None:
    for _ in range(RACES):
        barrier.wait()
        try:
            with Lease(path):
                wins.put(1)
                barrier.wait()  # held until all have tried
        except LeaseHeld:
            wins.put(0)
            barrier.wait()
        barrier.wait()


@pytest.mark.parametrize("left_behind", [None, "a dead holder's lease"])
def test_of_several_starters_exactly_one_wins(path, left_behind):
    fork, starters = multiprocessing.get_context("spawn"), 3
    barrier, wins = fork.Barrier(starters + 1), fork.Queue()
    processes = [fork.Process(target=racer, args=(path, barrier, wins), daemon=True) for _ in range(starters)]
    for process in processes:
        process.start()
    won = []
    for _ in range(RACES):
        if left_behind:
            path.write_text(here(started="1"))
        for _ in range(3):
            barrier.wait(timeout=60)
        won.append(sum(wins.get(timeout=60) for _ in range(starters)))
    for process in processes:
        process.join()
    assert won == [1] * RACES
    assert list(path.parent.iterdir()) == []
