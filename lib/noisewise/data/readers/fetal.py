"""FETAL_PLANES_DB: 12,400 ultrasound images of 1,792 pregnancies in six classes of planes.

X. P. Burgos-Artizzu et al., "Evaluation of deep convolutional neural networks for automatic classification of common
maternal fetal ultrasound planes" (2020). A table, FETAL_PLANES_DB_data.csv, beside a folder of images, Images/*.png.
The official split is by patient and has no validation part.
"""

from __future__ import annotations

from pathlib import Path

from noisewise.data.readers.csv import read_lines
from noisewise.data.readers.layout import find
from noisewise.data.readers.origin import NAMED, Origin, absent
from noisewise.data.readers.walk import SUFFIXES, files_below, folders_in, plain
from noisewise.data.table import Row, Table
from noisewise.errors import RunError
from noisewise.runs.config import Source

# Class -> images to train on, and to test on.
COUNTS = {
    "abdomen": (353, 358),
    "brain": (1620, 1472),
    "femur": (516, 524),
    "thorax": (1058, 660),
    "cervix": (981, 645),
    "other": (2601, 1612),
}
SPLITS = ("train", "test")

PLANES = {
    "Fetal abdomen": "abdomen",
    "Fetal brain": "brain",
    "Fetal femur": "femur",
    "Fetal thorax": "thorax",
    "Maternal cervix": "cervix",
    "Other": "other",
}
IN_TRAIN = {"1": "train", "0": "test"}
COLUMNS = ("Image_name", "Patient_num", "Plane", "Train")
TABLE = "FETAL_PLANES_DB_data.csv"

ORIGIN = Origin(
    title="FETAL_PLANES_DB",
    page="https://zenodo.org/records/3904280 (FETAL_PLANES_ZENODO.zip)",
    size="2.1 GB",
    terms="CC BY 4.0",
    tree=f"""
        {TABLE}
        Images/*.png
    """,
)


def read(source: Source, root: Path) -> Table:
    """The images that the table at or near `root` lists.

    Raises:
        RunError: data; no such table, a column or value that is not as published, or images that are not there.
    """
    folder = find(root, lambda folder: _table_in(folder) is not None, ORIGIN, f"there is no {TABLE}")
    table = _table_in(folder)
    lines = [(number, _known(table, values)) for number, values in read_lines(table)]
    images = _images_beside(table)
    names = [(number, values["Image_name"]) for number, values in lines]
    if missing := [f"{name} (row {number})" for number, name in names if _stem(name) not in images]:
        lacking = f"{len(missing)} of the {len(lines)} images that {table.name} lists are not there"
        raise absent(ORIGIN, folder, f"{lacking}, such as {'; '.join(missing[:NAMED])}")
    return Table.of((_row(table, number, values, images) for number, values in lines), table)


def _table_in(folder: Path) -> Path | None:
    files = (path for path in folder.glob("*.[cC][sS][vV]") if not path.name.startswith("."))
    return next((path for path in files if plain(path.name) == plain(TABLE)), None)


def _images_beside(table: Path) -> dict[str, Path]:
    """The images of the folder Images, or wherever they are below the table's folder, by name without suffix.

    Raises:
        RunError: data; one image in two formats, or twice.
    """
    folder = next((part for part in folders_in(table.parent) if plain(part.name) == "images"), table.parent)
    images: dict[str, Path] = {}
    for path in files_below(folder):
        if path.suffix.lower() in SUFFIXES and (twin := images.setdefault(path.stem, path)) is not path:
            raise RunError("data", f"{path} and {twin} are the same image", "Keep one of the two.")
    return images


def _known(table: Path, values: dict[str, str]) -> dict[str, str]:
    """The values of a row by the published names of their columns."""
    found = {plain(name): value for name, value in values.items()}
    if lacking := [column for column in COLUMNS if plain(column) not in found]:
        has = ", ".join(name for name in values if name)
        raise RunError("data", f"{table} has no column '{lacking[0]}'. It has: {has}", ORIGIN.advice(table.parent))
    return {column: found[plain(column)] for column in COLUMNS}


def _row(table: Path, number: int, values: dict[str, str], images: dict[str, Path]) -> Row:
    name, patient, plane, train = (values[column] for column in COLUMNS)
    for column, value, legal in (("Plane", plain(plane), _CLASSES), ("Train", train, IN_TRAIN)):
        if value not in legal:
            names = PLANES if column == "Plane" else IN_TRAIN
            message = f"{table}, row {number}: {column} '{values[column]}' is none of {', '.join(names)}"
            raise RunError("data", message, "Mend that row, or take the table as published.")
    if not patient:
        message = f"{table}, row {number}: Patient_num is empty"
        raise RunError("data", message, "Fill it in: without it, images of one patient may be in two splits.")
    return Row(images[_stem(name)], _CLASSES[plain(plane)], patient, IN_TRAIN[train])


def _stem(name: str) -> str:
    """An image's name without its suffix; in the table as published it has none."""
    stem, dot, suffix = name.rpartition(".")
    return stem if f"{dot}{suffix}".lower() in SUFFIXES else name


_CLASSES = {plain(plane): name for plane, name in PLANES.items()}
