"""Fashion-MNIST: 70,000 grey images of clothes, 28 x 28, ten classes, with an official test set (MIT licence).

H. Xiao et al., "Fashion-MNIST: a novel image dataset for benchmarking machine learning algorithms" (2017). Four files
in MNIST's idx format, compressed with gzip or not: {train,t10k}-{images-idx3,labels-idx1}-ubyte[.gz].
"""

from __future__ import annotations

import gzip
import math
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import IO

import numpy as np

from noisewise.data.readers.chunks import CHUNK, images_in
from noisewise.data.table import Row, Table
from noisewise.errors import RunError
from noisewise.runs.config import Source

DEBIAN = Path("/usr/share/datasets/fashion-mnist")
GET = "Type: apt-get install dataset-fashion-mnist (Debian, Ubuntu; licence MIT), or set the dataset's source.root."
CLASSES = ("T-shirt", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot")
PREFIX = {"test": "t10k", "train": "train"}  # in the order of the table: of the files' names
IMAGES, LABELS = 2051, 2049  # the idx format's magic numbers: bytes in three dimensions, and in one
DIGITS = 7  # of an image's number in its name


def read(source: Source, root: Path) -> Table:
    """The images in the folder `root`, or in the Debian package's where the source has no root.

    Each is named by its file and its number therein.

    Raises:
        RunError: data; a file is missing, damaged or none of Fashion-MNIST.
    """
    folder = root if source.root else DEBIAN
    shapes, rows = {}, []
    for split, prefix in PREFIX.items():
        images = _find(folder, f"{prefix}-images-idx3-ubyte")
        labels = _find(folder, f"{prefix}-labels-idx1-ubyte")
        shapes[images] = _read_sizes(images, IMAGES, 3)
        names = _read_labels(labels, shapes[images][0])
        rows += [Row(images / f"{row:0{DIGITS}}", name, None, split) for row, name in enumerate(names)]
    return Table.of(rows, folder, partial(_stream, shapes))


def _stream(shapes: dict[Path, tuple[int, ...]], start: int) -> Iterator[np.ndarray]:
    """The images from position `start` on, from the files in the table's order."""
    for path, (count, *shape) in shapes.items():
        if start < count:
            with _open(path) as file:
                _read_header(file, 3)
                yield from images_in(file, count, tuple(shape), start)
        start = max(0, start - count)


def _find(folder: Path, name: str) -> Path:
    for path in (folder / f"{name}.gz", folder / name):
        if path.is_file():
            return path
    raise RunError("data", f"there is no {folder / name}.gz", GET)


@contextmanager
def _open(path: Path) -> Iterator[IO[bytes]]:
    """The file's bytes, uncompressed; what goes wrong while they are read is told as an error of the file."""
    try:
        with gzip.open(path) if path.suffix == ".gz" else open(path, "rb") as file:
            yield file
    except (EOFError, zlib.error, gzip.BadGzipFile, struct.error) as error:
        raise RunError("data", f"{path} is damaged: {error}", GET) from None


def _read_header(file: IO[bytes], dimensions: int) -> tuple[int, ...]:
    """The magic number, and the array's size in each dimension."""
    size = 4 * (1 + dimensions)
    return struct.unpack(f">{1 + dimensions}I", file.read(size))


def _read_sizes(path: Path, magic: int, dimensions: int) -> tuple[int, ...]:
    """The size of the array in each dimension, after a look at the whole file.

    Raises:
        RunError: data; it is no such array, or has more or fewer values than it says.
    """
    with _open(path) as file:
        found, *sizes = _read_header(file, dimensions)
        if found != magic or 0 in sizes[1:]:
            raise RunError(
                "data", f"{path} does not hold what its name says: its first number is {found}, not {magic}", GET
            )
        held = sum(map(len, iter(partial(file.read, CHUNK), b"")))
    if held != math.prod(sizes):
        raise RunError("data", f"{path} has {held} bytes of values instead of {math.prod(sizes)}", GET)
    return tuple(sizes)


def _read_labels(path: Path, count: int) -> list[str]:
    (held,) = _read_sizes(path, LABELS, 1)
    if held != count:
        raise RunError("data", f"{path} has {held} labels for {count} images", GET)
    with _open(path) as file:
        _read_header(file, 1)
        labels = file.read()
    if labels and max(labels) >= len(CLASSES):
        raise RunError("data", f"{path} has the label {max(labels)}; there are {len(CLASSES)} classes", GET)
    return [CLASSES[label] for label in labels]
