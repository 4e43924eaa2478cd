"""MURA: X-rays of the arm, here classified by which of seven parts they show.

P. Rajpurkar et al., "MURA: Large dataset for abnormality detection in musculoskeletal radiographs" (2018).
Two lists, train_image_paths.csv and valid_image_paths.csv, of paths such as
MURA-v1.1/train/XR_SHOULDER/patient00001/study1_positive/image1.png. The official test set is not public, so that
`valid` is the test split here. Training and validation images are of different patients; one may have several parts.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from noisewise.data.readers.csv import read_lines
from noisewise.data.readers.layout import find, split_folders, usual_split
from noisewise.data.readers.origin import NAMED, Origin, absent
from noisewise.data.readers.walk import SUFFIXES, files_below, folders_in, plain
from noisewise.data.table import Row, Table
from noisewise.errors import RunError
from noisewise.runs.config import Source

# Class -> images to train on, and to test on.
COUNTS = {
    "SHOULDER": (8379, 563),
    "HUMERUS": (1272, 288),
    "FINGER": (5106, 461),
    "WRIST": (9752, 659),
    "FOREARM": (1825, 301),
    "HAND": (5543, 460),
    "ELBOW": (4931, 465),
}
SPLITS = ("train", "test")

LISTS = {"train": "train_image_paths.csv", "test": "valid_image_paths.csv"}
PATH = re.compile(r"(XR[_ -]?[A-Z]+)[/\\](patient\d+)[/\\](study[^/\\]+)[/\\]([^/\\]+)\.\w+$", re.IGNORECASE)

ORIGIN = Origin(
    title="MURA-v1.1",
    page="https://aimi.stanford.edu/datasets/mura-msk-xrays",
    size="3.3 GB",
    terms="Stanford University's research use agreement, to be accepted before the download; no commercial use",
    tree="""
        train_image_paths.csv
        valid_image_paths.csv
        train/XR_SHOULDER/patient00001/study1_positive/*.png
        train/... (XR_ELBOW, XR_FINGER, XR_FOREARM, XR_HAND, XR_HUMERUS, XR_WRIST)
        valid/... (the same)
    """,
)

Key = tuple[str, ...]
"""What an image is known by in lists and on the disk: part, patient, study and name, in lower case."""


def read(source: Source, root: Path) -> Table:
    """The X-rays of both lists, or where there are no lists, of both folders, at or near `root`.

    Raises:
        RunError: data; no such dataset, or one that is not whole or not as published.
    """
    folder = find(root, _has_parts, ORIGIN, "there is no folder train with folders XR_SHOULDER, XR_HAND, ...")
    parts = split_folders(folder, _split_of)
    if "test" not in parts:
        raise absent(ORIGIN, folder, "there is no folder valid beside train")
    lists = _lists(folder)
    rows: list[Row] = []
    for split, part in parts.items():
        images = _images_below(part)
        if lists:
            images = _listed(lists[split], images, part)
        rows += (Row(path, _class_of(key[0], path), key[1], split) for key, path in images.items())
    return Table.of(rows, folder)


def _split_of(name: str) -> str | None:
    return {"train": "train", "val": "test"}.get(usual_split(name) or "")


def _has_parts(folder: Path) -> bool:
    train = split_folders(folder, _split_of).get("train")
    return train is not None and any(plain(part.name).startswith("xr") for part in folders_in(train))


def _lists(folder: Path) -> dict[str, Path]:
    """The lists by split, in the folder or in the one above; both or none.

    Raises:
        RunError: data; there is only one.
    """
    for place in (folder, folder.parent):
        lists = {split: place / name for split, name in LISTS.items() if (place / name).is_file()}
        if len(lists) == 1:
            lacking = next(name for split, name in LISTS.items() if split not in lists)
            raise absent(ORIGIN, place, f"there is no {lacking}")
        if lists:
            return lists
    return {}


def _images_below(part: Path) -> dict[Key, Path]:
    """The images of a split on the disk.

    Raises:
        RunError: data; an image outside the published tree, or in two formats.
    """
    images: dict[Key, Path] = {}
    for path in files_below(part):
        if path.suffix.lower() not in SUFFIXES:
            continue
        match = PATH.search(path.relative_to(part).as_posix())
        if match is None:
            message = f"{path} is not in a folder XR_PART/patientNNNNN/studyN"
            raise RunError("data", message, "Move it elsewhere: what it shows, and of whom, is not known.")
        if (twin := images.setdefault(_key(match), path)) is not path:
            raise RunError("data", f"{path} and {twin.name} are one image in two formats", "Keep one of the two.")
    return images


def _key(match: re.Match[str]) -> Key:
    return tuple(group.lower() for group in match.groups())


def _listed(list_: Path, images: dict[Key, Path], part: Path) -> dict[Key, Path]:
    """The images on the list, of those on the disk.

    Raises:
        RunError: data; a line that is no path, or one listed twice or not there.
    """
    found: dict[Key, Path] = {}
    missing: list[str] = []
    for number, line in _paths(list_):
        match = PATH.search(line)
        if match is None:
            message = (
                f"{list_}, row {number}: '{line}' is no path like .../XR_HAND/patient00001/study1_negative/image1.png"
            )
            raise RunError("data", message, "Mend that row, or take the list as published.")
        key = _key(match)
        if key in found:
            raise RunError("data", f"{list_}, row {number}: {line} is listed before", "List every image once.")
        if key in images:
            found[key] = images[key]
        else:
            missing.append(f"{line} (row {number})")
    if missing:
        copy = "an incomplete copy" if len(missing) > len(found) else "images are missing"
        there = f"of the {len(found) + len(missing):,} images that {list_.name} lists, {len(found):,} are below {part}"
        raise absent(ORIGIN, list_.parent, f"{copy}: {there}, not {'; '.join(missing[:NAMED])}")
    return found


def _paths(list_: Path) -> Iterator[tuple[int, str]]:
    """The lines of a list, whose first one is a path too, unless a copy was given a header."""
    lines = read_lines(list_)
    first = next(iter(lines[0][1]))
    if PATH.search(first):
        yield 1, first
    for number, values in lines:
        yield number, values[first]


def _class_of(folder: str, path: Path) -> str:
    name = plain(folder).removeprefix("xr").upper()
    if name not in COUNTS:
        advice = f"Move it elsewhere; the parts are: {', '.join(COUNTS)}."
        raise RunError("data", f"{path} is of 'XR_{name}', which is no part that {ORIGIN.title} shows", advice)
    return name
