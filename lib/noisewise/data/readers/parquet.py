"""A Parquet file with one row an image (`noisewise.data.readers.listing`); rows are counted from 1.

Numbers become the text that a person would write: whole ones have no ".0", which a column of whole numbers gets where
pandas had to leave some out.
"""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

from noisewise.data.readers.listing import check_columns, columns_of, table_of
from noisewise.data.table import Table
from noisewise.errors import RunError
from noisewise.runs.config import Source

if TYPE_CHECKING:
    import pyarrow


def read(source: Source, root: Path) -> Table:
    """The images that the Parquet file at `root` lists.

    Raises:
        RunError: data; no such file, one that is not Parquet or damaged, or a column of lists or other structures. Also
            as `noisewise.data.readers.listing`.
    """
    if not root.is_file():
        raise RunError("data", f"there is no table {root}", "Set the dataset's source.root to the Parquet file.")
    values = _read_columns(source, root)
    if not len(next(iter(values.values()))):
        raise RunError("data", f"{root} has no rows", "Set the dataset's source.root to a full table.")
    rows = zip(*values.values(), strict=True)
    return table_of(source, [(number, dict(zip(values, row, strict=True))) for number, row in enumerate(rows, 1)], root)


def _read_columns(source: Source, path: Path) -> dict[str, list[str]]:
    """The columns that the source names, and no others: there may be pixels beside them."""
    import pyarrow  # half a second to import, which no other source needs
    import pyarrow.parquet

    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            schema = file.schema_arrow
            check_columns(source, schema.names, path)
            wanted = sorted(set(columns_of(source).values()))
            for column in wanted:
                _check_type(schema, column, path)
            table = file.read(columns=wanted)
            return {column: [_text(value) for value in table[column].to_pylist()] for column in wanted}
    except (pyarrow.ArrowException, ValueError, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:  # the disk's fault, not the file's
            raise
        reason = str(error).splitlines()[0]
        raise RunError(
            "data",
            f"{path} is not a whole Parquet file: {reason}",
            "Replace it by a whole copy, or write it again; if it is a table as text, set the source's kind to csv.",
        ) from None


def _check_type(schema: pyarrow.Schema, column: str, path: Path) -> None:
    from pyarrow import types

    if len(schema.get_all_field_indices(column)) > 1:
        raise RunError("data", f"{path} has more than one column '{column}'", "Rename or remove one of them.")
    kind = schema.field(column).type
    value = kind.value_type if types.is_dictionary(kind) else kind
    if types.is_list(value) or types.is_large_list(value) or types.is_fixed_size_list(value):
        raise RunError(
            "data",
            f"{path}: the column '{column}' holds lists ({kind}), and a classifier here gives an image one label "
            "(such a table is multi-label)",
            "Write a column with one text or number an image.",
        )
    single = (types.is_string, types.is_large_string, types.is_string_view, types.is_integer, types.is_floating)
    if not any(test(value) for test in (*single, types.is_boolean, types.is_decimal, types.is_null)):
        raise RunError(
            "data",
            f"{path}: the column '{column}' holds {kind}, not texts or numbers",
            "Write images as paths to files, and labels, patients and splits as texts or numbers.",
        )


def _text(value: object) -> str:
    if value is None or value != value:  # NaN is what pandas writes for a missing number
        return ""
    if isinstance(value, (float, Decimal)) and value % 1 == 0:
        value = int(value)
    return str(value).strip()
