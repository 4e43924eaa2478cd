"""A table as text with one row an image (`noisewise.data.readers.listing`).

Columns may be separated by commas, semicolons or tabs; blanks around names and values do not count.
"""

from __future__ import annotations

import csv
from pathlib import Path

from noisewise.data.readers.listing import check_columns, table_of
from noisewise.data.table import Table
from noisewise.errors import RunError
from noisewise.runs.config import Source


def read(source: Source, root: Path) -> Table:
    """The images that the table at `root` lists.

    Raises:
        RunError: data; as `read_lines` and `noisewise.data.readers.listing`.
    """
    lines = read_lines(root)
    check_columns(source, list(lines[0][1]), root)
    return table_of(source, lines, root)


def read_lines(path: Path) -> list[tuple[int, dict[str, str]]]:
    """The table's rows, one at least, as (line number in the file, values by column).

    Raises:
        RunError: data; no such table, or one that is not UTF-8, not CSV, empty or ragged, or has two like columns.
    """
    if not path.is_file():
        raise RunError("data", f"there is no table {path}", "Set the dataset's source.root to the CSV file.")
    header, lines = _parse(path)
    if not lines:
        raise RunError("data", f"{path} has no rows below its header", "Set the dataset's source.root to a full table.")
    if twice := [name for name in header if name and header.count(name) > 1]:
        raise RunError("data", f"{path} has more than one column '{twice[0]}'", "Rename or remove one of them.")
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
            reader = csv.reader(file, delimiter=separator, skipinitialspace=True, strict=True)
            header = [name.strip() for name in next(reader, [])]
            return header, [(reader.line_num, [value.strip() for value in values]) for values in reader if any(values)]
    except UnicodeDecodeError as error:
        if error.object.startswith(b"PAR1"):
            raise RunError("data", f"{path} is a Parquet file", "Set the dataset's source.kind to parquet.") from None
        odd = error.object[error.start]
        raise RunError(
            "data", f"{path} is not UTF-8: it holds the byte 0x{odd:02x}", "Save it as UTF-8 (in Excel: CSV UTF-8)."
        ) from None
    except csv.Error as error:
        advice = "Mend that row: is a quotation mark left open?"
        raise RunError("data", f"{path}, row {reader.line_num}: {error}", advice) from None


def _separator(header: str) -> str:
    return max(",;\t", key=header.count)
