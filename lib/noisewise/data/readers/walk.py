"""Walking a folder of images as people leave them: links, hidden files and copies under other names."""

from __future__ import annotations

import os
from collections import deque
from pathlib import Path

from noisewise.errors import RunError

SUFFIXES = {".bmp", ".dcm", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"}  # that images mostly have
CLUTTER = {"__macosx", "desktop.ini", "thumbs.db"}  # left behind by file browsers, as hidden files are


def files_below(folder: Path) -> list[Path]:
    """Every file below a folder, sorted, but hidden ones and clutter.

    Links are followed, but to folders that hold this one, and no folder is walked twice. A link to nothing is listed
    as a file; pipes and sockets are not, which keep whoever opens them waiting.

    Raises:
        RunError: data; a folder may not be read.
    """
    found: list[Path] = []
    seen = {_identity(place) for start in (folder.absolute(), folder.resolve()) for place in start.parents}
    todo = deque([folder])
    while todo:
        place = todo.popleft()
        if _identity(place) in seen:  # a link back up, or to a folder that was here before
            continue
        seen.add(_identity(place))
        entries = _entries(place)
        folders = [entry for entry in entries if _is_folder(entry)]
        todo += [Path(entry) for entry in sorted(folders, key=os.DirEntry.is_symlink)]  # a folder before links to it
        found += [Path(entry) for entry in entries if _is_file(entry)]
    return sorted(found, key=Path.as_posix)


def folders_in(parent: Path) -> list[Path]:
    """The folders right in a folder, sorted, but hidden ones and clutter.

    Raises:
        RunError: data; the folder may not be read.
    """
    return [Path(entry) for entry in _entries(parent) if _is_folder(entry)]


def plain(name: str) -> str:
    """A name's letters and digits in lower case, by which copies of a dataset still agree."""
    return "".join(letter for letter in name.casefold() if letter.isalnum())


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return sorted((entry for entry in entries if not _is_clutter(entry.name)), key=lambda entry: entry.name)
    except PermissionError:
        raise RunError(
            "data", f"{folder} may not be read", f"Type: chmod -R u+rX {folder}, or ask its owner."
        ) from None


def _identity(folder: Path) -> tuple[int, int]:
    status = os.stat(folder)
    return status.st_dev, status.st_ino


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False


def _is_file(entry: os.DirEntry[str]) -> bool:
    """Whether it is a file or a link to nothing; asks the disk only about links."""
    try:
        return entry.is_file() or (entry.is_symlink() and not os.path.exists(entry))
    except OSError:
        return True


def _is_clutter(name: str) -> bool:
    return name.startswith(".") or name.lower() in CLUTTER
