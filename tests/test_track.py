"""Metrics on disk: whole lines, whatever happens to the process or the disk."""

from __future__ import annotations

import resource
import signal
import subprocess
import time

import numpy as np
import pytest

from noisewise.errors import RunError
from noisewise.runs.folder import RunFolder, Settings
from noisewise.track import Tracker, read_metrics
from tests.tracking import RUN, epochs, script

OFF = Settings()


@pytest.fixture
def folder(tmp_path) -> RunFolder:
    return RunFolder.of(tmp_path, RUN)


def test_each_line_is_on_disk_when_log_returns(folder):
    tracker = Tracker(folder, RUN, OFF)
    tracker.log(epoch=0, step=7, loss=0.25)
    (record,) = read_metrics(folder.metrics)
    assert abs(record.pop("time") - time.time()) < 60
    assert record == {"epoch": 0, "step": 7, "loss": 0.25}
    tracker.close()


def test_a_killed_process_loses_no_line_that_it_logged(folder):
    body = """
        for epoch in range(1000):
            tracker.log(epoch=epoch)
            print(epoch, flush=True)
    """
    with subprocess.Popen(script(folder, body), stdout=subprocess.PIPE) as process:
        for _ in range(20):
            last = int(process.stdout.readline())
        process.send_signal(signal.SIGKILL)
    assert epochs(folder) == list(range(len(epochs(folder))))
    assert len(epochs(folder)) > last


def test_arrays_and_tensors_become_numbers(folder):
    import torch

    tracker = Tracker(folder, RUN, OFF)
    tracker.log(a=np.float32(0.5), b=np.arange(2), c=torch.tensor(1.5), d=torch.ones(1, 2), e={"f": (np.float64(2),)})
    (record,) = read_metrics(folder.metrics)
    del record["time"]
    assert record == {"a": 0.5, "b": [0, 1], "c": 1.5, "d": [[1.0, 1.0]], "e": {"f": [2.0]}}
    tracker.close()


@pytest.mark.parametrize("value", [float("nan"), float("inf"), np.float32("-inf"), [0.5, float("nan")]])
def test_what_json_lacks_becomes_null_with_a_warning(folder, value):
    tracker = Tracker(folder, RUN, OFF)
    with pytest.warns(RuntimeWarning, match="auroc is"):
        tracker.log(auroc=value)
    (record,) = read_metrics(folder.metrics)
    assert record["auroc"] in (None, [0.5, None])
    tracker.close()


def test_rewinding_cuts_back_to_a_checkpoint(folder):
    tracker = Tracker(folder, RUN, OFF)
    tracker.log(epoch=0)
    position = tracker.position()
    assert position == folder.metrics.stat().st_size
    tracker.log(epoch=1)
    tracker.close()

    tracker = Tracker(folder, RUN, OFF)
    tracker.rewind(position)
    assert epochs(folder) == [0]
    tracker.log(epoch=10)
    assert tracker.position() == folder.metrics.stat().st_size
    tracker.rewind(0)
    assert epochs(folder) == []
    tracker.close()


def test_a_line_cut_by_a_kill_is_neither_read_nor_continued(folder):
    folder.path.mkdir(parents=True)
    folder.metrics.write_bytes(b'{"epoch": 0}\n{"epoch": 1, "lo')
    assert epochs(folder) == [0]
    tracker = Tracker(folder, RUN, OFF)
    tracker.log(epoch=1)
    tracker.close()
    assert epochs(folder) == [0, 1]


@pytest.mark.parametrize("content", [b"", b'{"epoch": 0}\n', b'{"epoch": 0, "loss": 0.123456}\n'])
def test_a_file_that_does_not_fit_its_checkpoint_is_refused(folder, content):
    folder.path.mkdir(parents=True)
    folder.metrics.write_bytes(content)
    tracker = Tracker(folder, RUN, OFF)
    with pytest.raises(RunError, match=r"metrics\.jsonl .* does not fit its checkpoint") as info:
        tracker.rewind(20)
    assert info.value.kind == "data"
    assert f"Remove the folder {folder.path}" in info.value.advice
    assert folder.metrics.read_bytes() == content
    tracker.close()


def test_reading_metrics_that_are_not_there_or_not_json(folder):
    assert read_metrics(folder.metrics) == []
    folder.path.mkdir(parents=True)
    folder.metrics.write_text('{"epoch": 0}\nnonsense\n{"epoch": 2}\n')
    with pytest.raises(RunError, match="line 2"):
        read_metrics(folder.metrics)


def test_a_full_disk_is_said_and_leaves_whole_lines(folder):
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    tracker = Tracker(folder, RUN, OFF)
    tracker.log(epoch=0)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, before[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            tracker.log(epoch=1, values=list(range(100)))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, ignored)
    assert folder.metrics.read_bytes().endswith(b'"epoch": 0}\n')
    assert tracker.position() == folder.metrics.stat().st_size
    tracker.log(epoch=2)
    assert epochs(folder) == [0, 2]
    tracker.close()
