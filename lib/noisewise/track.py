"""What a run says while it trains: `metrics.jsonl`, one object a line, which is the truth; wandb mirrors the file."""

from __future__ import annotations

import json
import math
import os
import time
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from noisewise.errors import RunError
from noisewise.mirror import Mirror
from noisewise.runs.config import Run
from noisewise.runs.folder import RunFolder, Settings


class Tracker:
    """Appends to a run's metrics. One process a run makes one: rank 0.

    Each line reaches the operating system before `log` returns, so a killed process loses at most the line that it
    was writing. wandb, if asked for, is a process of its own that reads the file (`noisewise.mirror`).
    """

    def __init__(self, folder: RunFolder, run: Run, settings: Settings) -> None:
        self._folder = folder
        folder.path.mkdir(parents=True, exist_ok=True)
        self._file = open(folder.metrics, "ab", buffering=0)  # noqa: SIM115 (closed by `close`)
        self._size = _whole_lines(folder.metrics)
        self._file.truncate(self._size)
        self._mirror = Mirror(folder, run, settings) if settings.wandb != "off" else None

    def log(self, **values: Any) -> None:
        """Append one line: the time (Unix seconds), then `values`: numbers, texts, lists, mappings, arrays, tensors.

        JSON has no NaN and no infinities: they become null, with a warning.

        Raises:
            OSError: the line could not be written, as on a full disk; the file is then as it was before.
        """
        record = {"time": round(time.time(), 3), **{name: _plain(name, value) for name, value in values.items()}}
        if self._mirror:
            self._mirror.begin(self._size)
        self._append(json.dumps(record, allow_nan=False, ensure_ascii=False).encode() + b"\n")

    def position(self) -> int:
        """Bytes written so far, synced to disk: what a checkpoint stores for `rewind`."""
        os.fsync(self._file.fileno())
        return self._size

    def rewind(self, position: int) -> None:
        """Cut the file back to what it was at a checkpoint (0: no checkpoint). To be called before the first `log`.

        Raises:
            RunError: data, if the file does not go that far, or has no line's end there.
        """
        path = self._folder.metrics
        if not _ends_a_line(path, position):
            raise RunError(
                "data",
                f"{path} ({self._size} bytes) does not fit its checkpoint, saved when a line ended at byte {position}",
                f"Remove the folder {self._folder.path} and submit the grid again.",
            )
        self._file.truncate(position)
        self._size = position

    def close(self, summary: Mapping[str, Any] | None = None) -> None:
        """Close the file, and wandb's run with it; may be repeated.

        Waits a few seconds for wandb, and says on stderr what it did not get.

        Args:
            summary: the run's final scores. Without them wandb's run is marked as not finished.
        """
        self._file.close()
        if self._mirror:
            self._mirror.close(None if summary is None else _plain("summary", summary))
            self._mirror = None

    def _append(self, line: bytes) -> None:
        rest = line
        try:
            while rest:  # a nearly full disk takes a part first
                rest = rest[self._file.write(rest) :]
        except OSError:
            self._file.truncate(self._size)
            raise
        self._size += len(line)


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """The lines of a metrics file; without the last if it was cut in writing, and none where there is no file.

    Raises:
        RunError: data, if a whole line is no JSON object.
    """
    try:
        lines = path.read_bytes().split(b"\n")[:-1]  # behind the last newline is nothing, or half a line
    except FileNotFoundError:
        return []
    return [_record(path, number, line) for number, line in enumerate(lines, start=1)]


def _record(path: Path, number: int, line: bytes) -> dict[str, Any]:
    try:
        record = json.loads(line)
    except ValueError:
        record = None
    if not isinstance(record, dict):
        advice = f"Remove {path.parent} and submit the grid again."
        raise RunError("data", f"{path}, line {number}: not a JSON object", advice)
    return record


def _plain(name: str, value: Any) -> Any:
    """A value as JSON has it; arrays and tensors as (nested lists of) numbers."""
    if isinstance(value, float):
        if math.isfinite(value):
            return float(value)
        warnings.warn(f"{name} is {value}; metrics.jsonl says null", RuntimeWarning, stacklevel=3)
        return None
    if isinstance(value, Mapping):
        return {str(key): _plain(f"{name}.{key}", item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(name, item) for item in value]
    return _plain(name, value.tolist()) if hasattr(value, "tolist") else value


def _whole_lines(path: Path) -> int:
    """Bytes up to the end of the last whole line: what is behind it was cut in writing."""
    return path.read_bytes().rfind(b"\n") + 1


def _ends_a_line(path: Path, position: int) -> bool:
    with path.open("rb") as file:
        file.seek(max(position - 1, 0))
        return position == 0 or file.read(1) == b"\n"
