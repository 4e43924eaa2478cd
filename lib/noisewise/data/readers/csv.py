"""A table with one row an image: its path (relative to the table's folder), its label, its patient and split if known.

Columns may be separated by commas, semicolons or tabs; blanks around names and values do not count. An empty patient
is an unknown one, and no two unknown ones are taken for the same; no other column may be empty.
"""

from __future__ import annotations

import csv
import difflib
from pathlib import Path

from noisewise.data.table import SPLIT_NAMES, Row, Table
from noisewise.errors import RunError
from noisewise.runs.config import Source

NAMED = 3  # how many of the missing files an error names


def read(source: Source, root: Path) -> Table:
    """The images that the table at `root` lists. Where there is a `clean_label` column, labels are taken from there.

    Raises:
        RunError: data; no such table, a missing column, an empty or unknown value, or images that are not there.
    """
    lines = read_lines(root)
    columns = [source.image, source.clean_label or source.label, source.patient, source.split]
    header = [name for name in lines[0][1] if name]
    for column in filter(None, columns):
        _check_column(column, header, root)
    rows = [_row(root, number, values, columns) for number, values in lines]
    numbered = zip((number for number, _ in lines), rows, strict=True)
    if missing := [f"{row.image} (row {number})" for number, row in numbered if not row.image.is_file()]:
        raise RunError(
            "data",
            f"{root} lists {len(missing)} images that are not there: {'; '.join(missing[:NAMED])}",
            "Paths in the image column are relative to the table's folder: mend them, or put the images there.",
        )
    return Table.of(rows, root)


def read_lines(path: Path) -> list[tuple[int, dict[str, str]]]:
    """The table's rows, one at least, as (line number in the file, values by column).

    Raises:
        RunError: data; no such table, or one that is not UTF-8, not CSV, empty or ragged.
    """
    if not path.is_file():
        raise RunError("data", f"there is no table {path}", "Set the dataset's source.root to the CSV file.")
    header, lines = _parse(path)
    if not lines:
        raise RunError("data", f"{path} has no rows below its header", "Set the dataset's source.root to a full table.")
    for number, values in lines:
        if len(values) != len(header):
            raise RunError(
                "data", f"{path}, row {number}: {len(values)} values for {len(header)} columns", "Mend that row."
            )
    return [(number, dict(zip(header, values, strict=True))) for number, values in lines]


def _parse(path: Path) -> tuple[list[str], list[tuple[int, list[str]]]]:
    """The header, and the rows that are not empty with their line numbers."""
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            separator = _separator(file.readline())
            file.seek(0)
            reader = csv.reader(file, delimiter=separator)
            header = [name.strip() for name in next(reader, [])]
            return header, [(reader.line_num, [value.strip() for value in values]) for values in reader if any(values)]
    except UnicodeDecodeError as error:
        odd = error.object[error.start]
        raise RunError(
            "data", f"{path} is not UTF-8: it holds the byte 0x{odd:02x}", "Save it as UTF-8 (in Excel: CSV UTF-8)."
        ) from None
    except csv.Error as error:
        advice = "Mend that row: is a quotation mark left open?"
        raise RunError("data", f"{path}, row {reader.line_num}: {error}", advice) from None


def _separator(header: str) -> str:
    return max(",;\t", key=header.count)


def _check_column(column: str, header: list[str], path: Path) -> None:
    if column in header:
        return
    near = difflib.get_close_matches(column, header, n=1)
    hint = f" Did you mean '{near[0]}'?" if near else ""
    raise RunError(
        "data",
        f"{path} has no column '{column}'.{hint} It has: {', '.join(header)}",
        "Set the dataset's source.image, label, patient, split or clean_label to a column that is there.",
    )


def _row(path: Path, number: int, values: dict[str, str], columns: list[str | None]) -> Row:
    image, label, patient, split = (values[column] if column else None for column in columns)
    for column, value in zip(columns, (image, label, patient or None, split), strict=True):
        if value == "":
            raise RunError("data", f"{path}, row {number}: the column '{column}' is empty", "Fill it in.")
    if split is not None and split.lower() not in SPLIT_NAMES:
        raise RunError("data", f"{path}, row {number}: split '{split}' is none of train, val or test", "Mend that row.")
    return Row(path.parent / image, label, patient or None, SPLIT_NAMES[split.lower()] if split else None)
