"""A table with one row an image: its path (relative to the table's folder), its label, its patient and split if known.

An empty patient is an unknown one, and no two unknown ones are taken for the same; no other column may be empty.
With a column of clean labels, the label column is what was given (by a search engine, say), the clean one the truth.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from noisewise.data.table import SPLIT_NAMES, Row, Table
from noisewise.errors import RunError
from noisewise.runs.config import Source

Line = tuple[int, Mapping[str, str]]


def columns_of(source: Source) -> dict[str, str]:
    """The names of the columns that a source has, by what stands in them: an image and a label at least."""
    optional = {"clean_label": source.clean_label, "patient": source.patient, "split": source.split}
    return {"image": source.image, "label": source.label, **{key: name for key, name in optional.items() if name}}


def check_columns(source: Source, header: Sequence[str], path: Path) -> None:
    """
    Raises:
        RunError: data; the table at `path` lacks a column that the source names.
    """
    for key, column in columns_of(source).items():
        if column and column in header:
            continue
        near = difflib.get_close_matches(column, header, n=1)
        hint = f" Did you mean '{near[0]}'?" if near else ""
        raise RunError(
            "data",
            f"{path} has no column '{column}'.{hint} It has: {', '.join(filter(None, header))}",
            f"Set the dataset's source.{key} to a column that is there.",
        )


def table_of(source: Source, lines: Sequence[Line], path: Path) -> Table:
    """The images that the table at `path` lists.

    lines: its rows as (number, for messages; values by column, as text, empty where there is none).

    Raises:
        RunError: data; an empty or unknown value, several labels in one cell, or no image that is there.
    """
    columns = columns_of(source)
    rows = [_row(columns, number, values, path) for number, values in lines]
    numbers = [number for number, _ in lines]
    _check_single([row.label for row in rows], numbers, path)
    if "clean_label" in columns:
        _check_single([row.clean_label for row in rows], numbers, path)
    if not any(os.path.isfile(row.image) for row in rows):  # some that are missing, the conversion leaves out
        raise RunError(
            "data",
            f"{path} lists {len(rows)} images, and none of them is there: {rows[0].image} (row {numbers[0]})",
            "Paths in the image column are relative to the table's folder: mend them, or put the images there.",
        )
    return Table.of(rows, path)


def _row(columns: Mapping[str, str], number: int, values: Mapping[str, str], path: Path) -> Row:
    cell = {key: values[column] for key, column in columns.items()}
    for key, value in cell.items():
        if not value and key != "patient":
            raise RunError("data", f"{path}, row {number}: the column '{columns[key]}' is empty", _FILL_IN[key])
        if len(value.splitlines()) > 1:
            raise RunError(
                "data",
                f"{path}, row {number}: the column '{columns[key]}' holds several lines",
                "Mend that row: is a quotation mark left open?",
            )
    split = SPLIT_NAMES.get(cell["split"].lower()) if "split" in cell else None
    if "split" in cell and split is None:
        raise RunError(
            "data", f"{path}, row {number}: split '{cell['split']}' is none of train, val or test", "Mend that row."
        )
    image = path.parent / cell["image"]
    return Row(image, cell["label"], cell.get("patient") or None, split, cell.get("clean_label"))


_FILL_IN = {
    "image": "Fill it in, or remove the row.",
    "label": "Fill it in, or remove the row.",
    "split": "Fill it in, or leave out the dataset's source.split, so that a split is cut.",
    "clean_label": "Fill it in: clean labels are known for all images or none. Without them, leave out the dataset's "
    "source.clean_label.",
}


def _check_single(labels: Sequence[str], numbers: Sequence[int], path: Path) -> None:
    """Refuse cells with several labels, known by parts that are the whole label of other rows.

    A class may have a comma or semicolon in its name, so all parts between these must be labels; between bars, one.
    """
    names = dict.fromkeys(labels)
    for label in names:
        for separator, enough in (("|", any), (";", all), (",", all)):
            parts = [part.strip() for part in label.split(separator)]
            if len(parts) > 1 and enough(part in names for part in parts):
                raise RunError(
                    "data",
                    f"{path}, row {numbers[labels.index(label)]}: '{label}' is several labels in one cell, and a "
                    "classifier here gives an image one label (this table is multi-label)",
                    "Keep the images with one label, or ask for one finding a table: one label where it is present, "
                    "another where it is not.",
                )
