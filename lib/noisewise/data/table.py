"""What a reader returns: every image of a dataset with its label, and its patient and official split where known."""

from __future__ import annotations

import os
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from decimal import Decimal
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np

from noisewise.errors import RunError

MANY_CLASSES = 50  # more than these, and more than half as many as images, are something else than classes
SPLITS = ("train", "val", "test")
SPLIT_NAMES = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation"), "val"),
    **dict.fromkeys(("test", "testing"), "test"),
}


class Row(NamedTuple):
    """One image as a reader finds it.

    image: its file; for an image within an archive, the archive's path, and below it a name of the image's own.
    label: as it was given. clean_label: as it truly is, where the dataset says so too: for all images or none.
    The patient may be unknown (None); a split is given for all images or none.
    """

    image: Path
    label: str
    patient: str | None = None
    split: str | None = None
    clean_label: str | None = None


@dataclass(frozen=True, eq=False)
class Table:
    """A dataset before its pixels are read, in the order of the images' paths.

    images: n paths, no two alike.
    labels: int64 [n], positions in `classes`: the true ones where the dataset tells them apart, else the given ones.
    given: int64 [n], the labels as they were given; `labels` itself where the dataset knows no others.
    patients: n names, None for an image whose patient is not known; or None if no patient is known.
    split: n of "train", "val", "test", or None; "val" or "test" may be lacking.
    stream: for images that are not files of their own: their pixels, uint8 [H, W] or [H, W, 3], in the table's order
        from a given position on. None where each image is a file.
    top: the folder that the dataset lies in, or the archive.
    """

    images: list[Path]
    labels: np.ndarray
    classes: list[str]
    given: np.ndarray
    patients: list[str | None] | None = None
    split: list[str] | None = None
    stream: Callable[[int], Iterator[np.ndarray]] | None = None
    top: Path | None = None

    @classmethod
    def of(cls, rows: Iterable[Row], where: Path, stream: Callable[[int], Iterator[np.ndarray]] | None = None) -> Table:
        """Rows in any order as a table.

        Raises:
            RunError: data; there are no images, one class only, two that are spelled alike, or an image listed twice.
                `where` is named.
        """
        rows = sorted(rows, key=lambda row: row.image.as_posix())
        if not rows:
            raise RunError("data", f"{where} holds no images", "Check the dataset's source.root.")
        image, times = Counter(os.path.normpath(row.image) for row in rows).most_common(1)[0]
        if times > 1:
            raise RunError("data", f"{where} lists {image} {times} times", "List every image once, however spelled.")
        given = [printable(row.label) for row in rows]
        labels = [printable(row.label if row.clean_label is None else row.clean_label) for row in rows]
        names = {*given, *labels}
        classes = sorted(names, key=int) if all(name.isdecimal() for name in names) else sorted(names)
        if len(classes) > max(MANY_CLASSES, len(rows) / 2):
            raise RunError(
                "data",
                f"{where} has {len(classes):,} classes in {len(rows):,} images, such as '{classes[0]}'",
                "Are these classes? Check the dataset's source (its label column, or its root).",
            )
        _check_spelling(classes, where)
        if len(classes) < 2:
            raise RunError(
                "data",
                f"all {len(rows)} images of {where} are of one class, '{classes[0]}'",
                "A classifier needs two classes or more: check the dataset's source (root, or its label column).",
            )
        position = {name: number for number, name in enumerate(classes)}
        return cls(
            images=[row.image for row in rows],
            labels=np.array([position[name] for name in labels], dtype=np.int64),
            classes=classes,
            given=np.array([position[name] for name in given], dtype=np.int64),
            patients=[row.patient for row in rows] if any(row.patient is not None for row in rows) else None,
            split=None if rows[0].split is None else [row.split for row in rows],
            stream=stream,
            top=where.parent if stream is None and where.is_file() else where,
        )

    @cached_property
    def names(self) -> list[str]:
        """What the images are called wherever the dataset lies: their paths below `top`, else below what they share.

        Names that are not UTF-8 have their odd bytes spelled out.
        """
        paths = [image.as_posix() for image in self.images]
        top = f"{self.top.as_posix()}/" if self.top else ""
        if not (top and all(path.startswith(top) for path in paths)):
            top = f"{os.path.commonpath([image.parent for image in self.images])}/"
        return [printable(path.removeprefix(top)) for path in paths]

    def select(self, keep: np.ndarray) -> Table:
        """The images where `keep`, bool [n], is true; every class stays in `classes`. Pixels are not streamed again."""
        rows = np.flatnonzero(keep)

        def taken(values: list | None) -> list | None:
            return None if values is None else [values[row] for row in rows]

        return replace(
            self,
            images=taken(self.images),
            labels=self.labels[rows],
            given=self.given[rows],
            patients=taken(self.patients),
            split=taken(self.split),
            stream=None,
        )


def printable(name: str) -> str:
    """A file's name with what is not UTF-8 in it spelled out, so that it can be written anywhere."""
    return name if name.isascii() else name.encode(errors="backslashreplace").decode()


def _check_spelling(classes: list[str], where: Path) -> None:
    """Two spellings of one class would be learnt as two classes, and tell nobody."""
    first: dict[str, str] = {}
    for name in classes:
        other = first.setdefault(_spelled_alike(name), name)
        if other != name:
            raise RunError(
                "data",
                f"{where} has the classes '{other}' and '{name}', which differ only in case, blanks, the encoding of "
                "accents or the writing of a number",
                "Give them one name if they are one class, else names that cannot be mistaken for one another.",
            )


def _spelled_alike(name: str) -> str:
    """What two spellings of one name have in common."""
    plain = unicodedata.normalize("NFC", name).strip().casefold()
    return str(Decimal(plain).normalize()) if re.fullmatch(r"\d+(\.\d+)?", plain) else plain
