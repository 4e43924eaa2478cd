"""Images into a pack: read, check and convert on every core, write the beton, then the index.

All is done in a hidden folder beside the pack's, renamed when it is whole. So two processes that prepare one pack
do not meet: the first to finish wins, and the other takes what is there. A folder whose maker died is removed by the
next to come.
"""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import tempfile
import time
import warnings
import zlib
from collections import defaultdict, deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np

from noisewise.data.beton import checksums, locate_samples, write_beton
from noisewise.data.images import FITS, open_square
from noisewise.data.pack import BETON, MANIFEST, Pack, make_again, pack_folder, write_index
from noisewise.data.readers import read
from noisewise.data.split import assign
from noisewise.data.subset import ranks
from noisewise.data.table import SPLITS, Table
from noisewise.errors import RunError, UserError, unknown
from noisewise.runs.config import Prepare
from noisewise.runs.lease import STALE_SECONDS, Lease, alive

FORMATS = ("auto", "raw", "jpeg")
NAMED = 5  # how many bad images an error names, and how many duplicates the manifest
AHEAD = 4  # images a core that may be converted before they are written

Report = Callable[[int, int], None]


class Converted(NamedTuple):
    """What one image file gave.

    pixels: uint8 [size, size, 3]. sha256: of the file. mean, square: of the pixels in [0, 255], a channel each.
    """

    pixels: np.ndarray
    sha256: str
    checksum: int
    mean: np.ndarray
    square: np.ndarray


def prepare(run: Prepare, data: Path, on_progress: Report | None = None) -> Pack:
    """The pack of a preparation under the data folder; written unless it is there.

    on_progress: told (images done, images in all), from this thread.

    Raises:
        UserError: a setting that no pack can have.
        RunError: data; bad images (all of them counted, the first ones named), labels or splits.
        OSError: the disk is full. Nothing is left behind.
    """
    _check(run)
    folder = pack_folder(data, run)
    if not (folder / MANIFEST).exists():
        if folder.exists():
            raise RunError("data", f"{folder} is there without its {MANIFEST}", make_again(folder))
        table = read(run.source, Path(data))
        split = assign(table, run.split)
        folder.parent.mkdir(parents=True, exist_ok=True)
        _check_space(folder.parent, run, len(table.images))
        run = replace(run, format="raw") if run.format == "auto" else run
        with _workshop(folder) as workshop:
            _write(workshop, run, table, split, on_progress or (lambda done, total: None))
    return Pack.open(folder)


def _check(run: Prepare) -> None:
    for what, value, legal in (("fit", run.fit, FITS), ("format", run.format, FORMATS)):
        if value not in legal:
            raise unknown(what, value, legal)
    if not (run.size >= 1 and 1 <= run.quality <= 100):
        raise UserError(f"size={run.size} and quality={run.quality}: the size must be above 0, the quality 1 to 100.")


def _check_space(folder: Path, run: Prepare, count: int) -> None:
    """Say at once that a raw pack cannot fit, not after an hour."""
    need, free = count * run.size**2 * 3, shutil.disk_usage(folder).free
    if run.format == "raw" and need > free:
        raise OSError(errno.ENOSPC, f"the pack needs {need / 1e9:.2f} GB, {free / 1e9:.2f} GB are free", str(folder))


@contextmanager
def _workshop(folder: Path) -> Iterator[Path]:
    """A folder to work in, which becomes `folder` if the block ends well and is removed if not."""
    prefix = f".{folder.name}."
    for other in folder.parent.glob(f"{prefix}*"):
        if _is_abandoned(other):
            shutil.rmtree(other, ignore_errors=True)
    workshop = Path(tempfile.mkdtemp(prefix=prefix, dir=folder.parent))
    try:
        with Lease(workshop / "lease.json"):
            yield workshop
        workshop.chmod(0o777 & ~_umask())  # temporary folders are private; packs are for the group
        try:
            workshop.rename(folder)
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
    finally:
        shutil.rmtree(workshop, ignore_errors=True)


def _is_abandoned(workshop: Path) -> bool:
    """Whether its maker is dead. One without a lease is just being made or renamed, unless it is old."""
    if (workshop / "lease.json").exists():
        return not alive(workshop / "lease.json")
    try:
        return time.time() - workshop.stat().st_mtime > STALE_SECONDS
    except FileNotFoundError:
        return False


def _write(folder: Path, run: Prepare, table: Table, split: np.ndarray, report: Report) -> None:
    count, digests, sums = len(table.images), [], []
    means, squares = [], []

    def pixels() -> Iterator[np.ndarray]:
        for done, item in enumerate(_convert_all(run, table.images), 1):
            digests.append(item.sha256)
            sums.append(item.checksum)
            means.append(item.mean)
            squares.append(item.square)
            report(done, count)
            yield item.pixels

    write_beton(folder / BETON, pixels(), count, run.size, run.format, run.quality)
    offsets, sizes = locate_samples(folder / BETON)
    stored = checksums(np.memmap(folder / BETON, np.uint8, "r"), offsets, sizes)
    if run.format == "raw" and not np.array_equal(stored, np.array(sums, dtype=np.uint32)):
        raise OSError(errno.EIO, "the pixels read back are not those that were written", str(folder / BETON))
    mean, std = _statistics(np.array(means)[split == "train"], np.array(squares)[split == "train"])
    paths = table.relative_paths()
    write_index(
        folder,
        run,
        samples={"path": paths, "label": table.labels, "split": split, "sha256": digests},
        arrays={
            "given": table.given,
            "ranks": ranks(paths, table.labels, split, run.split.seed),
            "offsets": offsets,
            "sizes": sizes,
            "checksums": stored,
        },
        classes=table.classes,
        per_split={part: np.bincount(table.labels[split == part]).tolist() for part in SPLITS},
        mean=mean,
        std=std,
        duplicates_across_splits=_find_duplicates(paths, split, digests),
    )


def _find_duplicates(paths: list[str], split: np.ndarray, digests: list[str]) -> dict[str, Any]:
    """How many files have the content of a file in another split, and the first pairs of them; warn of any."""
    alike = defaultdict(list)
    for row, digest in enumerate(digests):
        alike[digest].append(row)
    across = [rows for rows in alike.values() if len(set(split[rows])) > 1]
    pairs = [(rows[0], next(row for row in rows if split[row] != split[rows[0]])) for rows in across[:NAMED]]
    found = {"files": sum(map(len, across)), "pairs": [[paths[one], paths[other]] for one, other in pairs]}
    if across:
        such = " and ".join(found["pairs"][0])
        warnings.warn(
            f"{found['files']} files have a copy in another split, such as {such}", RuntimeWarning, stacklevel=4
        )
    return found


def _convert_all(run: Prepare, images: list[Path]) -> Iterator[Converted]:
    """The images in their order, converted on every core, a bounded number ahead.

    Raises:
        RunError: data; from the first bad image on nothing more is given out, the rest is only checked.
    """
    cores = len(os.sched_getaffinity(0))
    bad: list[RunError] = []
    with ThreadPoolExecutor(cores) as pool:  # decoding, resizing and hashing release the interpreter's lock
        todo = iter(images)
        ahead: deque[Future[Converted]] = deque(
            pool.submit(_convert, path, run) for path in islice(todo, AHEAD * cores)
        )
        while ahead:
            try:
                item = ahead.popleft().result()
            except RunError as error:
                bad.append(error)
            ahead.extend(pool.submit(_convert, path, run) for path in islice(todo, 1))
            if not bad:
                yield item
    if bad:
        first = "\n  ".join(error.message for error in bad[:NAMED])
        raise RunError("data", f"{len(bad)} of {len(images)} images cannot be used:\n  {first}", bad[0].advice)


def _convert(path: Path, run: Prepare) -> Converted:
    pixels = open_square(path, run.size, run.fit)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    mean, std = (values.ravel() for values in cv2.meanStdDev(pixels))
    return Converted(pixels, digest, zlib.crc32(pixels), mean, std**2 + mean**2)


def _statistics(means: np.ndarray, squares: np.ndarray) -> tuple[list[float], list[float]]:
    """Mean and standard deviation per channel over all pixels, in [0, 1]."""
    mean, square = means.mean(axis=0), squares.mean(axis=0)
    std = np.sqrt(np.maximum(square - mean**2, 0))
    return [round(float(value) / 255, 6) for value in mean], [round(float(value) / 255, 6) for value in std]


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
