"""Files appear whole or not at all: through exceptions, kills, full disks and odd locales."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from noisewise.runs.files import read_json, remove_leftovers, replacing, write_json, write_json_once


@pytest.fixture
def small_disk():
    """No file may grow beyond 64 KiB: what a full disk does to a writer, without being root."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (65536, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)
    signal.signal(signal.SIGXFSZ, ignored)


def test_a_new_file_takes_the_place_of_the_old(tmp_path):
    path = tmp_path / "new" / "file.json"
    write_json(path, {"a": 1})
    write_json(path, {"a": "\N{LATIN SMALL LETTER E WITH ACUTE}"})
    assert read_json(path) == {"a": "\N{LATIN SMALL LETTER E WITH ACUTE}"}
    assert list(path.parent.iterdir()) == [path]


def test_an_exception_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "file"
    path.write_text("old")
    with pytest.raises(KeyboardInterrupt), replacing(path) as file:
        file.write("half")
        raise KeyboardInterrupt
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_kill_in_the_middle_of_writing_leaves_the_old_file(tmp_path):
    path = tmp_path / "checkpoint.pt"
    path.write_bytes(b"old")
    code = f"""
from pathlib import Path
from noisewise.runs.files import replacing
with replacing(Path({str(path)!r}), "wb") as file:
    file.write(b"x" * 100_000)
    file.flush()
    print("written", flush=True)
    input()
"""
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stdin=subprocess.PIPE) as writer:
        assert writer.stdout.readline() == b"written\n"
        writer.send_signal(signal.SIGKILL)
    assert writer.returncode == -signal.SIGKILL
    assert path.read_bytes() == b"old"


def test_a_disk_that_fills_up_leaves_the_old_file(tmp_path, small_disk):
    path = tmp_path / "file.json"
    write_json(path, "old")
    with pytest.raises(OSError, match="File too large"):
        write_json(path, "x" * 100_000)
    assert read_json(path) == "old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting needs root")
def test_a_full_tmpfs_leaves_the_old_file(tmp_path):
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", tmp_path], capture_output=True).returncode:
        pytest.skip("this root may not mount")
    try:
        path = tmp_path / "file.json"
        write_json(path, "old")
        with pytest.raises(OSError, match="No space left"):
            write_json(path, "x" * 100_000)
        assert read_json(path) == "old"
        assert list(tmp_path.iterdir()) == [path]
    finally:
        subprocess.run(["umount", tmp_path], check=True)


def test_numbers_that_json_lacks_are_refused_before_anything_is_touched(tmp_path):
    path = tmp_path / "result.json"
    with pytest.raises(ValueError, match="JSON"):
        write_json(path, {"f1": float("nan")})
    assert list(tmp_path.iterdir()) == []


def test_files_are_as_readable_as_the_umask_says(tmp_path):
    before = os.umask(0o027)
    try:
        write_json(tmp_path / "file.json", 1)
    finally:
        os.umask(before)
    assert (tmp_path / "file.json").stat().st_mode & 0o777 == 0o640


def test_the_text_is_utf8_whatever_the_locale(tmp_path):
    code = f"""
from pathlib import Path
from noisewise.runs.files import write_json
write_json(Path({str(tmp_path / "file.json")!r}), "\\xe9 \\u2192")
"""
    latin = os.environ | {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}
    subprocess.run([sys.executable, "-c", code], env=latin, check=True)
    assert read_json(tmp_path / "file.json") == "\xe9 \u2192"


def test_of_many_writers_one_wins_whole(tmp_path):
    path = tmp_path / "file.json"
    writers = [threading.Thread(target=write_json, args=(path, [number] * 2000)) for number in range(8)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert len(set(read_json(path))) == 1
    assert list(tmp_path.iterdir()) == [path]


def test_of_many_writers_of_what_is_written_once_the_first_stays(tmp_path):
    path = tmp_path / "new" / "file.json"
    write_json_once(path, "first")
    writers = [threading.Thread(target=write_json_once, args=(path, number)) for number in range(8)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert read_json(path) == "first"
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("path", [Path("/nowhere/result.json"), Path(__file__) / "result.json"])
def test_no_file_reads_as_none(path):
    assert read_json(path) is None


def test_leftovers_of_a_kill_are_removed_and_nothing_else(tmp_path):
    for name in (".checkpoint.pt.0123456789abcdef", "checkpoint.pt", ".hidden.txt", ".lease.json"):
        (tmp_path / name).write_text("")
    remove_leftovers(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [".hidden.txt", ".lease.json", "checkpoint.pt"]
