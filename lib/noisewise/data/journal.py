"""What an unfinished conversion has done already, so that the next attempt need not do it again.

One line of JSON about the pack that is being made, then one for each page of the beton that is on the disk: the pages
so far, where the last of them ends, and the images that were converted. A line that a kill cut off does not count, nor
does one whose page the file no longer holds.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from noisewise.data.convert import Converted

SLACK = 1.5  # times as many images as there are find room: some may be added between two attempts


class Journal:
    """The journal of a pack in the making, beside its beton.

    done: what each image became whose bytes are in the beton, by its path below the dataset's folder.
    pages: whole pages of the beton that hold them. capacity: how many images the beton has room for.

    Args:
        about: what makes a pack another one; what was done for another is of no use.
        count: images of the dataset.
    """

    def __init__(self, path: Path, beton: Path, about: Mapping[str, Any], count: int) -> None:
        self._path = path
        self.done: dict[str, Converted] = {}
        self.pages = 0
        self.capacity = int(count * SLACK)
        lines = path.read_bytes().splitlines(keepends=True) if path.exists() else []
        first = _parse(lines[0]) if lines else {}
        if first.get("about") == about and first["capacity"] >= count and beton.exists():
            self.capacity = first["capacity"]
            os.truncate(path, len(lines[0]) + self._recover(lines[1:], beton.stat().st_size))
        else:
            path.unlink(missing_ok=True)
            self._append({"about": about, "capacity": self.capacity})

    def commit(self, pages: int, end: int, images: Mapping[str, Converted]) -> None:
        """Note that these images are in the beton, whose `pages` whole pages end at the byte `end`."""
        self._append({"pages": pages, "end": end, "images": {name: vars(item) for name, item in images.items()}})

    def _recover(self, lines: list[bytes], held: int) -> int:
        """Take over every line whose page the beton holds; returns how many bytes of lines those are."""
        kept = 0
        for line in lines:
            values = _parse(line)
            if not values or values.get("end", 0) > held:
                break
            self.pages = values.get("pages", self.pages)
            self.done |= {name: _converted(item) for name, item in values.get("images", {}).items()}
            for name in values.get("forget", ()):
                self.done.pop(name, None)
            kept += len(line)
        return kept

    def _append(self, values: Mapping[str, Any]) -> None:
        _append(self._path, values)


def forget(path: Path, names: Sequence[str]) -> None:
    """Note in the journal at `path` that these images are not in the beton as they should be."""
    _append(path, {"forget": list(names)})


def _append(path: Path, values: Mapping[str, Any]) -> None:
    with open(path, "ab") as file:
        file.write(json.dumps(values).encode("ascii") + b"\n")


def _parse(line: bytes) -> dict[str, Any]:
    """A line's values; none of one that was cut off."""
    try:
        return json.loads(line) if line.endswith(b"\n") else {}
    except ValueError:
        return {}


def _converted(values: Mapping[str, Any]) -> Converted:
    return Converted(**{name: tuple(value) if isinstance(value, list) else value for name, value in values.items()})
