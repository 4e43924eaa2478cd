"""Writing files so that a reader, or a restart, never sees half of one."""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any


@contextmanager
def replacing(path: Path, mode: str = "w") -> Iterator[IO]:
    """Open a temporary neighbour of `path` that takes its place, synced to disk, when the block ends well."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        with open(temporary, mode.replace("w", "x"), encoding=None if "b" in mode else "utf-8") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def remove_leftovers(folder: Path) -> None:
    """Remove what a kill in the middle of `replacing` has left in a folder that nobody else writes to."""
    for path in folder.glob(".*." + "[0-9a-f]" * 16):
        path.unlink(missing_ok=True)


def write_json(path: Path, values: Any) -> None:
    """Write `values` as JSON in one step; numbers that JSON lacks (NaN, infinities) are refused."""
    text = json.dumps(values, indent=1, allow_nan=False, ensure_ascii=False)
    with replacing(path) as file:
        file.write(text + "\n")


def write_json_once(path: Path, values: Any) -> None:
    """As `write_json`, but what is already there stays: of two that write, one succeeds, on NFS too."""
    whole = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    write_json(whole, values)
    try:
        os.link(whole, path)
    except FileExistsError:
        pass
    finally:
        whole.unlink()


def read_json(path: Path) -> Any:
    """The JSON in a file, or None where there is no such file."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return None
