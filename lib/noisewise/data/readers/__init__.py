"""Readers: from a dataset as its authors laid it out to a `Table`.

Adding one is one file, NAME.py with `read(source, root) -> Table`, one line in `KINDS`, and its name in
`noisewise.grid.names`, where grids are checked without importing numpy.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from noisewise.data.readers import (
    covid,
    csv,
    dermnet,
    elpv,
    fashion_mnist,
    fetal,
    folder,
    medmnist,
    mura,
    nct,
    parquet,
)
from noisewise.data.table import Table
from noisewise.errors import unknown
from noisewise.runs.config import Source

KINDS: dict[str, Callable[[Source, Path], Table]] = {
    "folder": folder.read,
    "csv": csv.read,
    "parquet": parquet.read,
    "medmnist": medmnist.read,
    "fashion_mnist": fashion_mnist.read,
    "elpv": elpv.read,
    "covid": covid.read,
    "dermnet": dermnet.read,
    "fetal": fetal.read,
    "mura": mura.read,
    "nct": nct.read,
}


def read(source: Source, data: Path) -> Table:
    """The images and labels of a source; `source.root` is relative to the data folder `data`, or absolute.

    Raises:
        UserError: there is no such kind of reader.
        RunError: data; what is there is not what the reader expects. The message names the file, and the row.
    """
    if source.kind not in KINDS:
        raise unknown("source kind", source.kind, KINDS)
    return KINDS[source.kind](source, data / Path(source.root).expanduser())
