"""A pack: a dataset's images, square and of one size, with labels and split, in a folder that is finished or not there.

    images.beton   the pixels; what FFCV writes and reads
    arrays.npz     labels, split, ranks (`noisewise.data.subset`), and where each sample lies in images.beton
    samples.csv    path, class (true, and as given), split and SHA-256 of each image that went in
    rejected.csv   path of each file that could not be used, and why
    manifest.json  what the pack is, and the hashes of the above
    sheets/        a contact sheet a class, to be looked at
    noise/         label sets (`noisewise.data.noise`), groups that were found (`noisewise.finetune.groups`)

Opening one needs neither torch nor FFCV.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from noisewise.data.subset import ranks
from noisewise.data.table import SPLITS
from noisewise.errors import RunError
from noisewise.runs.config import Prepare, to_dict
from noisewise.runs.files import read_json, replacing, write_json

VERSION = 2
STORED = ("labels", "given", "ranks", "offsets", "sizes", "checksums")
BETON, ARRAYS, SAMPLES, MANIFEST = "images.beton", "arrays.npz", "samples.csv", "manifest.json"
REJECTED, SHEETS = "rejected.csv", "sheets"


@dataclass(frozen=True, eq=False)
class Pack:
    """An opened pack of n images.

    manifest: count, classes, per_split (images a class), size, format, content (a hash of every input with its labels
        and split), hash (of that and of how it was converted: equal for all who convert the same files), decoders
        (versions), mean and std (of the training pixels, RGB, in [0, 1]), rejected (how many files), patients (how
        many, and of how many images), notes (sentences on what looks wrong), and what was asked for (prepare).
    labels: int64 [n], the true ones where they are known. given: int64 [n], as the dataset gives them; the same where
        it knows no others. split: str [n].
    ranks: int64 [n], the place of each image in the nested subsets of its class and split.
    offsets, sizes: int64 [n], bytes in the beton. checksums: uint32 [n], CRC-32 of those bytes.
    """

    folder: Path
    manifest: Mapping[str, Any]
    labels: np.ndarray
    given: np.ndarray
    split: np.ndarray
    ranks: np.ndarray
    offsets: np.ndarray
    sizes: np.ndarray
    checksums: np.ndarray

    @classmethod
    def open(cls, folder: Path) -> Pack:
        """The pack in a folder.

        Raises:
            RunError: data; there is none, or its files are not those that its manifest tells of.
        """
        folder = Path(folder)
        again = make_again(folder)
        try:
            manifest = read_json(folder / MANIFEST)
        except ValueError:
            raise RunError("data", f"{folder / MANIFEST} is damaged", again) from None
        if manifest is None:
            raise RunError("data", f"there is no pack in {folder}", "Submit again: it is prepared first.")
        if manifest.get("version") != VERSION:
            raise RunError("data", f"{folder} was written by another version of noisewise", again)
        _check_files(folder, manifest, again)
        with np.load(folder / ARRAYS) as arrays:
            values = {name: arrays[name] for name in STORED}
            return cls(folder, manifest, split=np.array(SPLITS)[arrays["split"]], **values)

    @property
    def classes(self) -> list[str]:
        return self.manifest["classes"]

    @property
    def size(self) -> int:
        """Side of the images, pixels."""
        return self.manifest["size"]

    @property
    def format(self) -> str:
        """How the pixels are stored: "raw" or "jpeg"."""
        return self.manifest["format"]

    @property
    def content(self) -> str:
        """The hash of every input with its label and split; the same for every size and format of the pack."""
        return self.manifest["content"]

    @property
    def beton(self) -> Path:
        return self.folder / BETON

    def indices(self, split: str) -> np.ndarray:
        """The samples of a split in ascending order, int64."""
        return np.flatnonzero(self.split == split)

    def names(self) -> list[str]:
        """The path of each image, as its dataset's reader found it, in the pack's order."""
        with open(self.folder / SAMPLES, newline="", encoding="utf-8") as file:
            return [row["path"] for row in csv.DictReader(file)]

    def __len__(self) -> int:
        return len(self.labels)


def pack_folder(data: Path, run: Prepare) -> Path:
    """Where the pack of a preparation lies under the data folder."""
    return Path(data) / "packs" / f"{run.dataset}-{run.size}px-{run.key}"


def make_again(folder: Path) -> str:
    """What to do about a damaged pack."""
    return f"Remove {folder} and submit again: it is prepared again."


def write_index(folder: Path, run: Prepare, samples: Mapping[str, Any], arrays: Mapping[str, Any], **more: Any) -> None:
    """Write all but the beton, which is there, the manifest last.

    samples: the columns of samples.csv: path, label and given (positions in `classes`), split, sha256.
    arrays: offsets, sizes, checksums. more: what else the manifest holds, the classes among it.
    """
    text = _samples_csv(samples, more["classes"])
    with replacing(folder / SAMPLES, "wb") as file:
        file.write(text)
    labels, split = samples["label"], np.array(samples["split"])
    with replacing(folder / ARRAYS, "wb") as file:
        np.savez(
            file,
            labels=labels,
            given=samples["given"],
            split=np.array([SPLITS.index(name) for name in split], dtype=np.uint8),
            ranks=ranks(samples["path"], labels, split, run.split.seed),
            **arrays,
        )
    content, asked = hashlib.sha256(text).hexdigest(), to_dict(run)
    asked = {name: value for name, value in asked.items() if name not in ("stage", "dataset", "source")}
    write_json(
        folder / MANIFEST,
        {
            "version": VERSION,
            "hash": _hash(run, content, more["classes"]),
            "count": len(split),
            "size": run.size,
            "format": run.format,
            "content": content,
            "per_split": {
                part: np.bincount(labels[split == part], minlength=len(more["classes"])).tolist() for part in SPLITS
            },
            "arrays": hash_file(folder / ARRAYS),
            "beton_bytes": (folder / BETON).stat().st_size,
            **more,
            "prepare": asked,
        },
    )


def _hash(run: Prepare, content: str, classes: list[str]) -> str:
    """Of all that decides what the pack holds, but for the decoders' versions; the split is in the content."""
    how = [run.size, run.fit, run.format, run.quality if run.format == "jpeg" else None, run.intensity, run.split.seed]
    return hashlib.sha256(json.dumps([content, classes, how]).encode()).hexdigest()


def hash_file(path: Path) -> str:
    """SHA-256 of a file."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _samples_csv(samples: Mapping[str, Any], classes: list[str]) -> bytes:
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(["path", "class", "given", "split", "sha256"])
    names, given = ([classes[label] for label in samples[column]] for column in ("label", "given"))
    writer.writerows(zip(samples["path"], names, given, samples["split"], samples["sha256"], strict=True))
    return buffer.getvalue().encode()


def _check_files(folder: Path, manifest: Mapping[str, Any], again: str) -> None:
    for name in (BETON, ARRAYS, SAMPLES):
        if not (folder / name).is_file():
            raise RunError("data", f"{folder / name} is missing", again)
    held, whole = (folder / BETON).stat().st_size, manifest["beton_bytes"]
    if held != whole:
        raise RunError("data", f"{folder / BETON} has {held} bytes instead of {whole}: it is not whole", again)
    for name, digest in ((ARRAYS, manifest["arrays"]), (SAMPLES, manifest["content"])):
        if hash_file(folder / name) != digest:
            raise RunError("data", f"{folder / name} is not the file that the manifest tells of", again)
