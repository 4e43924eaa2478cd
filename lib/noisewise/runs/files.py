"""Writing files so that a reader, or a restart, never sees half of one."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any


@contextmanager
def replacing(path: Path, mode: str = "w") -> Iterator[IO]:
    """Open a temporary neighbour of `path` that takes its place, synced to disk, when the block ends well."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle = tempfile.NamedTemporaryFile(mode, dir=path.parent, prefix=f".{path.name}.", delete=False)
    try:
        with handle:
            yield handle
            handle.flush()
            os.fsync(handle.fileno())
        os.chmod(handle.name, 0o666 & ~_umask())  # temporary files are private; results are for the group
        os.replace(handle.name, path)
    except BaseException:
        Path(handle.name).unlink(missing_ok=True)
        raise


def write_json(path: Path, values: Any) -> None:
    """Write `values` as JSON in one step; numbers that JSON lacks (NaN, infinities) are refused."""
    text = json.dumps(values, indent=1, allow_nan=False, ensure_ascii=False)
    with replacing(path) as file:
        file.write(text + "\n")


def read_json(path: Path) -> Any:
    """The JSON in a file, or None where there is no such file."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
