"""Reading published layouts from copies that were nested, doubled, renamed or converted on their way.

A dataset is found at its root, further down, or a little above; its splits and classes are known by names that their
copies still agree on. What is there but is not known is an error, never left out in silence.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from noisewise.data.readers.origin import Origin, absent
from noisewise.data.readers.walk import SUFFIXES, files_below, folders_in, plain
from noisewise.data.table import SPLIT_NAMES, Row, Table
from noisewise.errors import RunError

DOWN = 4  # levels below the root where a dataset may lie
UP = 2  # levels above: the root may have been set to a folder within the dataset

Naming = Callable[[str], str | None]
"""The split or class that a folder's name stands for, or None."""


def usual_split(name: str) -> str | None:
    """The split of a folder by its usual name: "Train", "valid", "testing" and their like."""
    return SPLIT_NAMES.get(plain(name))


def read_class_folders(
    root: Path,
    origin: Origin,
    classes: Sequence[str],
    class_of: Naming,
    splits: Sequence[str],
    split_of: Naming = usual_split,
    holds: Callable[[Path], bool] = lambda folder: True,
    inputs: Callable[[Path], Path] = lambda folder: folder,
) -> Table:
    """A dataset laid out as SPLIT/CLASS/images.

    classes: all there are. class_of: a class folder's name -> its class.
    splits: those that a whole copy has. split_of: a split folder's name -> its split.
    holds: whether a folder that has the splits is the right one. inputs: a class folder -> where its images are.

    Raises:
        RunError: data; no such dataset, a split or class that is lacking, doubled or unknown, or a folder without
            images.
    """

    def is_it(folder: Path) -> bool:
        train = split_folders(folder, split_of).get("train")
        return train is not None and any(class_of(part.name) for part in folders_in(train)) and holds(folder)

    folder = find(root, is_it, origin, "there is no folder for training with folders of its classes")
    parts = split_folders(folder, split_of)
    if lacking := [split for split in splits if split not in parts]:
        raise absent(origin, folder, f"the images for {' and '.join(lacking)} are lacking")
    rows = [row for split, part in parts.items() for row in _rows(part, split, classes, class_of, inputs, origin)]
    return Table.of(rows, folder)


def find(root: Path, is_it: Callable[[Path], bool], origin: Origin, lacking: str) -> Path:
    """The folder for which `is_it` holds: at or below the root, the shallowest; else the nearest above.

    Raises:
        RunError: data; there is none (`lacking` says what was looked for), or there are several at the same depth.
    """
    if not root.is_dir():
        raise absent(origin, root, lacking)
    level, found = [root], []
    for depth in range(DOWN + 1):
        if depth:
            level = [below for folder in level for below in folders_in(folder)]
        if found := [folder for folder in level if is_it(folder)]:
            break
    found = found or [folder for folder in list(root.parents)[:UP] if is_it(folder)][:1]
    if not found:
        raise absent(origin, root, lacking)
    if len(found) > 1:
        raise RunError(
            "data",
            f"{root} holds {len(found)} copies of {origin.title}: {found[0]} and {found[1]}",
            "Set the dataset's source.root to one of them.",
        )
    return found[0]


def split_folders(folder: Path, split_of: Naming = usual_split) -> dict[str, Path]:
    """The folders right in a folder that hold a split's images, by split; of FOLDER/FOLDER, the inner.

    Raises:
        RunError: data; two folders for one split.
    """
    parts: dict[str, Path] = {}
    for part in folders_in(folder):
        if (split := split_of(part.name)) is None:
            continue
        if split in parts:
            raise _doubled(parts[split], part, f"the {split} split")
        parts[split] = _undouble(part)
    return parts


def _undouble(folder: Path) -> Path:
    """The innermost of FOLDER/FOLDER/..., as archives that are unpacked into a folder of their own name leave it."""
    inner = folders_in(folder)
    return _undouble(inner[0]) if len(inner) == 1 and plain(inner[0].name) == plain(folder.name) else folder


def _rows(
    part: Path,
    split: str,
    classes: Sequence[str],
    class_of: Naming,
    inputs: Callable[[Path], Path],
    origin: Origin,
) -> list[Row]:
    folders: dict[str, Path] = {}
    for folder in folders_in(part):
        if (name := class_of(folder.name)) is None:
            advice = f"Move it elsewhere; the classes are: {', '.join(classes)}."
            raise RunError("data", f"{folder} is no class of {origin.title}", advice)
        if name in folders:
            raise _doubled(folders[name], folder, f"the class '{name}'")
        folders[name] = folder
    if missing := [name for name in classes if name not in folders]:
        raise absent(origin, part, f"there is no folder for {', '.join(missing)}")
    return [Row(image, name, split=split) for name, folder in folders.items() for image in images_in(inputs(folder))]


def _doubled(one: Path, other: Path, what: str) -> RunError:
    return RunError("data", f"both {one} and {other} are folders for {what}", "Move one of them elsewhere.")


def images_in(folder: Path) -> list[Path]:
    """The files below a folder, one at least; what is no image among them is for the conversion to reject.

    Raises:
        RunError: data; there are none, or one image in two formats.
    """
    files = files_below(folder)
    if not files:
        raise RunError("data", f"{folder} holds no images", "Is the copy whole? Put its images there.")
    by_stem: dict[Path, Path] = {}
    for path in files:
        if path.suffix.lower() in SUFFIXES and (twin := by_stem.setdefault(path.with_suffix(""), path)) is not path:
            raise RunError("data", f"{path} and {twin.name} are one image in two formats", "Keep one of the two.")
    return files
