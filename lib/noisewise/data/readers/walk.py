"""Walking a folder of images as people leave them: links, hidden files and copies under other names."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

CLUTTER = {"__macosx", "desktop.ini", "thumbs.db"}  # left behind by file browsers, as hidden files are


def files_below(folder: Path) -> list[Path]:
    """Every file below a folder, sorted, but hidden ones and clutter. Links are followed, no folder is walked twice."""
    found: list[Path] = []
    seen: set[tuple[int, int]] = set()
    for place, names, files in os.walk(folder, followlinks=True):
        here = os.stat(place)
        if (here.st_dev, here.st_ino) in seen:  # a link back up, or to a folder that was here before
            names.clear()
            continue
        seen.add((here.st_dev, here.st_ino))
        names[:] = sorted(name for name in names if not _is_clutter(name))
        found += [Path(place, name) for name in files if not _is_clutter(name)]
    return sorted(found, key=Path.as_posix)


def folders_in(parent: Path) -> list[Path]:
    """The folders right in a folder, sorted, but hidden ones and clutter."""
    return sorted(path for path in parent.iterdir() if path.is_dir() and not _is_clutter(path.name))


def folders_down(root: Path, depth: int) -> Iterator[Path]:
    """`root`, then the folders in it, then those in them, to a depth: for what may be nested in copies of a dataset."""
    level = [root]
    for _ in range(depth + 1):
        yield from level
        level = [folder for parent in level for folder in folders_in(parent)]


def plain(name: str) -> str:
    """A name's letters and digits in lower case, by which copies of a dataset still agree."""
    return "".join(letter for letter in name.casefold() if letter.isalnum())


def _is_clutter(name: str) -> bool:
    return name.startswith(".") or name.lower() in CLUTTER
