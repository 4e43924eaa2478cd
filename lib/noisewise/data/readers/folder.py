"""A folder for each class: CLASS/*.png, or with an official split train/CLASS/*.png, test/CLASS/*.png.

Whatever lies in a class folder is taken for an image, since DICOM files often have no suffix: the conversion leaves
out what is none, and says so.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from noisewise.data.readers.patients import find_patients
from noisewise.data.readers.walk import SUFFIXES, files_below, folders_in
from noisewise.data.table import SPLIT_NAMES, Row, Table
from noisewise.errors import RunError
from noisewise.runs.config import Source

KIND_OF = {".csv": "csv", ".tsv": "csv", ".parquet": "parquet", ".npz": "medmnist"}
ELSEWHERE = "Put the images into a folder for each class, or list them in a table (source.kind csv or parquet)."


def read(source: Source, root: Path) -> Table:
    """All files below `root`; a class is the name of its folder, and may hold folders of its own.

    Raises:
        RunError: data; no such folder, no classes, an empty class, or half an official split. Also as
            `noisewise.data.readers.patients`.
    """
    if not root.is_dir():
        found = f"{root} is a file" if root.exists() else f"there is no folder {root}"
        advice = _other_kind([root]) or "Put the images there, or set the dataset's source.root."
        raise RunError("data", found, advice)
    rows = [row for folder, split in _class_folders(root) for row in _class_rows(folder, split)]
    if source.patient is not None:
        patients = find_patients(source.patient, [row.image for row in rows], root)
        rows = [row._replace(patient=patient) for row, patient in zip(rows, patients, strict=True)]
    return Table.of(rows, root)


def _class_folders(root: Path) -> list[tuple[Path, str | None]]:
    """Every class folder with its split, None where there is no official one."""
    folders = folders_in(root)
    split_of = {folder: SPLIT_NAMES.get(folder.name.strip().lower()) for folder in folders}
    if any(split_of.values()):
        _check_splits(root, split_of)
        return [(folder, split) for part, split in split_of.items() for folder in _classes(part)]
    classes = _classes(root)
    if len(classes) == 1 and (advice := _other_reading(root, classes[0])):
        raise RunError("data", f"{root} has one folder, {classes[0].name}, so all images are of one class", advice)
    return [(folder, None) for folder in classes]


def _check_splits(root: Path, split_of: dict[Path, str | None]) -> None:
    folder_of: dict[str, Path] = {}
    for folder, split in split_of.items():
        if split is not None and (other := folder_of.setdefault(split, folder)) != folder:
            raise RunError(
                "data",
                f"{root} has two folders for the split {split}, '{other.name}' and '{folder.name}'",
                "Put their images into one, or move one elsewhere.",
            )
    if "train" not in folder_of:
        names = " and ".join(f"'{folder.name}'" for folder in folder_of.values())
        raise RunError(
            "data",
            f"{root} has {names} of an official split, but no folder 'train'",
            "Put the training images into train/CLASS. Is it a class of that name? Then rename its folder.",
        )
    if odd := [folder for folder, split in split_of.items() if split is None]:
        raise RunError(
            "data",
            f"{root} has a folder for the training split, so '{odd[0].name}' should be one of train, val or test",
            f"Move {odd[0]} elsewhere.",
        )


def _classes(parent: Path) -> list[Path]:
    """The class folders in the root or in a split's folder; none only if nothing at all lies there."""
    folders, files = folders_in(parent), _files_in(parent)
    if files and not folders:
        raise RunError(
            "data",
            f"{parent} holds {len(files)} files, such as {files[0].name}, but no folder for a class",
            _other_kind(files) or _other_kind(_files_in(parent.parent)) or ELSEWHERE,
        )
    if loose := [file for file in files if file.suffix.lower() in SUFFIXES]:
        raise RunError(
            "data",
            f"{parent} holds {len(loose)} images beside the folders of its classes, such as {loose[0].name}",
            "Put them into the folder of their class, or elsewhere.",
        )
    return folders


def _other_reading(root: Path, only: Path) -> str | None:
    """What may be meant where a root has but one folder: images with a table beside, or a copy's outer folder."""
    nested = f"If the folders in it are the classes, set the dataset's source.root to {only}."
    return _other_kind(_files_in(root)) or (nested if folders_in(only) else None)


def _files_in(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_file() and not path.name.startswith("."))


def _other_kind(files: list[Path]) -> str | None:
    """The advice to read one of these files, which is or lists a whole dataset; None where there is none."""
    for file in files:
        if kind := KIND_OF.get(file.suffix.lower()):
            return f"Set the dataset's source.kind to {kind} and its source.root to {file}."
        if file.name.startswith("train-images-idx3-ubyte"):
            return f"Set the dataset's source.kind to fashion_mnist and its source.root to {file.parent}."
    return None


def _class_rows(folder: Path, split: str | None) -> Iterator[Row]:
    files = files_below(folder)
    if not files:
        raise RunError("data", f"the class folder {folder} is empty", "Remove it, or put its images there.")
    return (Row(path, folder.name, split=split) for path in files)
