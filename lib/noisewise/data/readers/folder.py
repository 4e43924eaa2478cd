"""A folder for each class: CLASS/*.png, or with an official split train/CLASS/*.png, test/CLASS/*.png."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from noisewise.data.table import SPLIT_NAMES, Row, Table
from noisewise.errors import RunError
from noisewise.runs.config import Source

SUFFIXES = {".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff"}
CLUTTER = {"desktop.ini", "thumbs.db"}  # left behind by file browsers, as hidden files are


def read(source: Source, root: Path) -> Table:
    """All images below `root`; a class is the name of its folder, and may hold folders of its own.

    Raises:
        RunError: data; no such folder, no images, or files that are no images.
    """
    if not root.is_dir():
        raise RunError("data", f"there is no folder {root}", "Put the images there, or set the dataset's source.root.")
    folders = _folders(root)
    split_of = {folder: SPLIT_NAMES.get(folder.name.lower()) for folder in folders}
    if "train" not in split_of.values():
        return Table.of((row for folder in folders for row in _class_rows(folder, None)), root)
    if odd := [folder.name for folder, split in split_of.items() if split is None]:
        raise RunError(
            "data",
            f"{root} has a folder for the training split, so '{odd[0]}' should be one of train, val or test",
            f"Move {root / odd[0]} elsewhere.",
        )
    rows = (row for part, split in split_of.items() for folder in _folders(part) for row in _class_rows(folder, split))
    return Table.of(rows, root)


def _folders(parent: Path) -> list[Path]:
    return sorted(path for path in parent.iterdir() if path.is_dir() and not path.name.startswith("."))


def _class_rows(folder: Path, split: str | None) -> Iterator[Row]:
    files = [path for path in folder.rglob("*") if path.is_file() and not _is_clutter(path.relative_to(folder))]
    if others := Counter(path.suffix or path.name for path in files if path.suffix.lower() not in SUFFIXES):
        named = ", ".join(f"{count} of {suffix}" for suffix, count in others.most_common(3))
        raise RunError(
            "data",
            f"{folder} holds files that are no images of a kind we read: {named}",
            f"Convert them to one of {', '.join(sorted(SUFFIXES))}, or move them out of the class folder.",
        )
    if not files:
        raise RunError("data", f"the class folder {folder} is empty", "Remove it, or put its images there.")
    return (Row(path, folder.name, split=split) for path in files)


def _is_clutter(path: Path) -> bool:
    return path.name.lower() in CLUTTER or any(part.startswith(".") for part in path.parts)
