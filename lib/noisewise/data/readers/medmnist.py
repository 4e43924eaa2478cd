"""MedMNIST: small biomedical images in one NAME.npz with an official split, from medmnist.com or Zenodo 10519652.

J. Yang et al., "MedMNIST v2: a large-scale lightweight benchmark for 2D and 3D biomedical image classification" (2023);
CC BY 4.0, DermaMNIST CC BY-NC 4.0. `train_images`, `val_images` and `test_images` are uint8 [n, S, S] or [n, S, S, 3],
S from 28 to 224; `train_labels` and so on are whole numbers [n, 1]. At 224 pixels an archive may have many gigabytes,
so images are read one after the other, never all at once. Classes are named by their numbers.
"""

from __future__ import annotations

import errno
import math
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tokenize import TokenError
from typing import IO

import numpy as np
from numpy.lib import format as npy

from noisewise.data.readers.chunks import images_in
from noisewise.data.table import SPLITS, Row, Table
from noisewise.errors import RunError
from noisewise.runs.config import Source

DIGITS = 7  # of an image's number in its name, at least
WHERE = (
    "Get NAME.npz from medmnist.com or Zenodo 10519652 (CC BY 4.0; DermaMNIST: CC BY-NC 4.0), "
    "and set the dataset's source.root to it."
)
WHOLE = "Get a whole copy from medmnist.com or Zenodo 10519652, or mend what wrote it."


@dataclass(frozen=True)
class Header:
    """What an array in the archive is, before its values are read."""

    shape: tuple[int, ...]
    dtype: np.dtype


def read(source: Source, root: Path) -> Table:
    """The images of the archive `root`, named ROOT/SPLIT/NUMBER, with its official split; val or test may be lacking.

    Raises:
        RunError: data; no such file, one that is damaged or lacks arrays, several labels an image, or volumes.
    """
    if not root.is_file():
        raise RunError("data", f"there is no archive {root}", WHERE)
    shapes, rows = {}, []
    with _open(root) as archive:
        for split in sorted(SPLITS):
            if split != "train" and not {f"{split}_images.npy", f"{split}_labels.npy"} & set(archive.namelist()):
                continue  # cut from the training images
            shapes[split] = _image_shape(archive, split, root)
            labels = _labels(archive, split, shapes[split][0], root)
            digits = max(DIGITS, len(str(len(labels))))  # so that the order of names is that of numbers
            rows += [Row(root / split / f"{row:0{digits}}", label, None, split) for row, label in enumerate(labels)]
    return Table.of(rows, root, partial(_stream, root, shapes))


def _stream(root: Path, shapes: dict[str, tuple[int, ...]], start: int) -> Iterator[np.ndarray]:
    """The images from position `start` on; the splits are in the order of their names, as in the table."""
    with _open(root) as archive:
        for split, (count, *shape) in shapes.items():
            if start < count:
                with archive.open(f"{split}_images.npy") as file:
                    _read_header(file)
                    yield from images_in(file, count, tuple(shape), start)
            start = max(0, start - count)


@contextmanager
def _open(root: Path) -> Iterator[zipfile.ZipFile]:
    """The archive; what goes wrong while it is read (RuntimeError: it is encrypted) is told as an error of the file."""
    try:
        with zipfile.ZipFile(root) as archive:
            yield archive
    except (zipfile.BadZipFile, zlib.error, EOFError, ValueError, RuntimeError, OSError) as error:
        if isinstance(error, OSError) and error.errno != errno.EINVAL:  # the disk's fault; EINVAL is a damaged index's
            raise
        raise RunError("data", f"{root} is not a whole archive of arrays (.npz): {error}", WHOLE) from None


def _read_header(file: IO[bytes]) -> Header:
    """What the array in a file is; the file stands at its first value then.

    Raises:
        ValueError: it is no array that is stored row by row.
    """
    readers = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}
    version = npy.read_magic(file)
    if version not in readers:
        raise ValueError(f"arrays of version {version} hold no images or labels")
    try:
        shape, by_column, dtype = readers[version](file)
    except (SyntaxError, TokenError) as error:  # a damaged header, which numpy parses as Python
        raise ValueError(f"an array's header is damaged ({error})") from None
    if by_column and len(shape) > 1:
        raise ValueError("its arrays are stored by column; write them with numpy.ascontiguousarray")
    return Header(shape, dtype)


def _header(archive: zipfile.ZipFile, name: str, root: Path) -> Header:
    """An array's header, checked against the bytes that the archive has for it."""
    if f"{name}.npy" not in archive.namelist():
        held = ", ".join(member.removesuffix(".npy") for member in archive.namelist()) or "nothing"
        raise RunError("data", f"{root} has no array {name}; it has {held}", WHERE)
    with archive.open(f"{name}.npy") as file:
        header = _read_header(file)
        if header.dtype.hasobject:
            raise RunError("data", f"{root}: {name} holds Python objects, which are not loaded", WHOLE)
        need, held = math.prod(header.shape) * header.dtype.itemsize, archive.getinfo(f"{name}.npy").file_size
        if need != held - file.tell():
            raise RunError("data", f"{root}: {name} has {held - file.tell()} bytes of values instead of {need}", WHOLE)
    return header


def _image_shape(archive: zipfile.ZipFile, split: str, root: Path) -> tuple[int, ...]:
    """(n, height, width) or (n, height, width, 3)."""
    name = f"{split}_images"
    header = _header(archive, name, root)
    shape = header.shape
    if len(shape) == 5 or (len(shape) == 4 and shape[3] != 3):
        raise RunError(
            "data",
            f"{root}: {name} has the shape {list(shape)}: these are volumes (3D), and only flat images are read",
            "Take one of MedMNIST's 2D datasets, or write one slice of each volume as an image.",
        )
    if len(shape) not in (3, 4) or 0 in shape[1:] or header.dtype != np.uint8:
        raise RunError(
            "data",
            f"{root}: {name} is {header.dtype} {list(shape)}, not uint8 [n, height, width] or [n, height, width, 3]",
            WHOLE,
        )
    return shape


def _labels(archive: zipfile.ZipFile, split: str, count: int, root: Path) -> list[str]:
    """The labels of a split's images, as names."""
    name = f"{split}_labels"
    header = _header(archive, name, root)
    shape = header.shape
    if len(shape) == 2 and shape[1] > 1:
        raise RunError(
            "data",
            f"{root}: {name} has {shape[1]} labels an image, and a classifier here gives an image one label "
            "(such a dataset, as ChestMNIST, is multi-label)",
            "Take a dataset with one label an image, or keep one column of the labels.",
        )
    if shape not in ((count,), (count, 1)) or header.dtype.kind not in "iu":
        raise RunError("data", f"{root}: {name} is {header.dtype} {list(shape)}, not whole numbers [{count}, 1]", WHOLE)
    with archive.open(f"{name}.npy") as file:
        return [str(label) for label in npy.read_array(file, allow_pickle=False).ravel().tolist()]
