"""Images into a pack: read, check and convert on every core, write the beton, then the index.

All is done in a folder beside the pack's, NAME.part, which is renamed when it is whole. One process at a time works in
it; another that wants the same pack waits. Whatever ends it (a kill, a full disk, too many bad images), what was
converted stays, and the next attempt goes on from there; images that have changed since are converted again.

`format: auto` is raw as long as the pixels take at most 40 GB, as those of the study's five datasets do at 256 px, and
JPEG above: a raw pack is exact and read many times faster, a JPEG one has about a sixth of its size (bench/convert.md).
"""

from __future__ import annotations

import csv
import errno
import importlib.metadata
import io
import math
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from noisewise.data import notes
from noisewise.data.beton import BetonWriter, checksums, encoder, locate_samples
from noisewise.data.checks import compare
from noisewise.data.convert import Converted, convert_all, stamp_of
from noisewise.data.journal import Journal, forget
from noisewise.data.pack import BETON, MANIFEST, REJECTED, Pack, make_again, pack_folder, write_index
from noisewise.data.readers import read
from noisewise.data.sheets import write_sheets
from noisewise.data.split import assign, check_classes
from noisewise.data.square import FITS
from noisewise.data.table import Table
from noisewise.errors import RunError, UserError, unknown
from noisewise.runs.config import Prepare
from noisewise.runs.files import replacing
from noisewise.runs.intensity import parse_intensity
from noisewise.runs.lease import make_once

FORMATS = ("auto", "raw", "jpeg")
RAW_BYTES = 40e9  # of pixels, up to which "auto" is raw
JOURNAL = "journal.jsonl"
NAMED = 5  # how many bad images an error names
STATS = 16  # threads that ask the disk about files: on network disks each answer takes its time

Report = Callable[[int, int], None]


def prepare(run: Prepare, data: Path, on_progress: Report | None = None) -> Pack:
    """The pack of a preparation under the data folder; written unless it is there.

    on_progress: told (images done, images in all), from this thread.

    Raises:
        UserError: a setting that no pack can have.
        RunError: data; too many bad images (all of them listed in rejected.csv), or labels or splits that do not do.
        OSError: the disk is full. What was converted is kept for the next attempt.
    """
    _check(run)
    folder = pack_folder(data, run)
    if not (folder / MANIFEST).exists():
        if folder.exists():
            raise RunError("data", f"{folder} is there without its {MANIFEST}", make_again(folder))
        table = read(run.source, Path(data))
        assign(table, run.split)  # what is wrong with the classes is said before any image is converted
        folder.parent.mkdir(parents=True, exist_ok=True)
        _make_alone(folder, run, table, on_progress or (lambda done, total: None))
    return Pack.open(folder)


def _check(run: Prepare) -> None:
    for what, value, legal in (("fit", run.fit, FITS), ("format", run.format, FORMATS)):
        if value not in legal:
            raise unknown(what, value, legal)
    if not (run.size >= 1 and 1 <= run.quality <= 100):
        raise UserError(f"size={run.size} and quality={run.quality}: the size must be above 0, the quality 1 to 100.")
    parse_intensity(run.intensity)


def _make_alone(folder: Path, run: Prepare, table: Table, report: Report) -> None:
    """Make the pack, or wait until another process has made it."""
    workshop = folder.with_name(f"{folder.name}.part")

    def make() -> None:
        workshop.mkdir(exist_ok=True)
        _make(workshop, run, table, report)
        workshop.rename(folder)
        (folder / JOURNAL).unlink()

    def on_wait() -> None:
        report(0, len(table.images))  # hears of a wish to stop

    make_once(folder / MANIFEST, folder.with_name(f".{folder.name}.lease"), make, on_wait)


def _make(folder: Path, run: Prepare, table: Table, report: Report) -> None:
    count = len(table.images)
    if run.format == "auto":
        run = replace(run, format="raw" if count * run.size**2 * 3 <= RAW_BYTES else "jpeg")
    _check_space(folder, run, count)
    converted = _convert(folder, run, table, report)
    _write_rejected(folder, run, table.names, converted)
    _write_index(folder, run, table, converted)
    write_sheets(Pack.open(folder))


def _check_space(folder: Path, run: Prepare, count: int) -> None:
    """Say at once that a raw pack cannot fit, not after an hour."""
    held = (folder / BETON).stat().st_size if (folder / BETON).exists() else 0
    need, free = count * run.size**2 * 3 - held, shutil.disk_usage(folder).free
    if run.format == "raw" and need > free:
        raise OSError(errno.ENOSPC, f"the pack needs {need / 1e9:.2f} GB, {free / 1e9:.2f} GB are free", str(folder))


def _convert(folder: Path, run: Prepare, table: Table, report: Report) -> list[Converted]:
    """What each image became, in the table's order; the bytes of the usable ones are in the beton.

    A converted image counts as done when its page is on the disk, then it is noted in the journal.
    """
    names, count = table.names, len(table.images)
    about = {"run": run.key, "format": run.format, **decoders()}
    journal = Journal(folder / JOURNAL, folder / BETON, about, count)
    found = _still_as_they_were(journal, table)
    todo = [row for row, name in enumerate(names) if name not in found]
    writer = BetonWriter(folder / BETON, journal.capacity, run.size, run.format, journal.pages)
    pending: dict[str, Converted] = {}
    if found:
        report(len(found), count)
    with closing(writer):
        converted = convert_all(_open_images(table, todo), run, encoder(run.format, run.quality))
        for row, (item, content) in zip(todo, converted, strict=True):
            if item.reason is None:
                pages = writer.pages
                item = replace(item, place=(writer.append(content), len(content)))
                if writer.pages > pages:  # with all images before this one
                    journal.commit(writer.pages, writer.end, pending)
                    pending = {}
            found[names[row]] = pending[names[row]] = item
            report(len(found), count)
        writer.flush()
        journal.commit(writer.pages, writer.end, pending)
        items = [found[name] for name in names]
        writer.finish([item.place for item in items if item.reason is None])
    return items


def _still_as_they_were(journal: Journal, table: Table) -> dict[str, Converted]:
    """The images that need no second conversion. Bad ones are tried again: they may have been mended."""
    done = [
        (path, name, journal.done[name])
        for path, name in zip(table.images, table.names, strict=True)
        if name in journal.done and journal.done[name].reason is None
    ]
    with ThreadPoolExecutor(STATS) as pool:
        stamps = pool.map(stamp_of, [path for path, _, _ in done])
        return {name: item for (_, name, item), stamp in zip(done, stamps, strict=True) if item.stamp == stamp}


def _open_images(table: Table, rows: list[int]) -> Iterator[tuple[Path, np.ndarray | None]]:
    """The images of the rows, ascending: each one's path, with its pixels where it has no file of its own."""
    if table.stream is None or not rows:
        yield from ((table.images[row], None) for row in rows)
        return
    wanted = set(rows)
    with closing(table.stream(rows[0])) as stream:
        for row, pixels in enumerate(stream, rows[0]):
            if row in wanted:
                yield table.images[row], pixels


def decoders() -> dict[str, str]:
    """Versions of what turns a file into a pack's bytes: halves of two versions make no whole."""
    names = ("pillow", "opencv-python-headless", "torch", "pydicom", "python-gdcm", "ffcv")
    return {name: importlib.metadata.version(name) for name in names}


def _write_rejected(folder: Path, run: Prepare, names: list[str], converted: list[Converted]) -> None:
    """List the unusable files and why.

    Raises:
        RunError: data; they are more than `run.max_rejected` of all.
    """
    bad = [(name, item.reason) for name, item in zip(names, converted, strict=True) if item.reason is not None]
    buffer = io.StringIO(newline="")
    csv.writer(buffer, lineterminator="\n").writerows([("path", "reason"), *bad])
    with replacing(folder / REJECTED, "wb") as file:
        file.write(buffer.getvalue().encode())
    if len(bad) > math.ceil(run.max_rejected * len(converted)) or len(bad) == len(converted):
        first = "\n  ".join(f"{name}: {reason}" for name, reason in bad[:NAMED])
        raise RunError(
            "data",
            f"{len(bad):,} of {len(converted):,} files cannot be used, more than max_rejected={run.max_rejected:g} "
            f"of them:\n  {first}",
            f"All are listed in {folder / REJECTED}. Mend or remove them, or raise max_rejected in the dataset's file, "
            "and type the same again: what was converted is kept.",
        )


def _write_index(folder: Path, run: Prepare, table: Table, converted: list[Converted]) -> None:
    """The split is that of all images: which of them can be used decides nothing about the others."""
    usable = np.array([item.reason is None for item in converted])
    alike = notes.groups_alike([item.sha256 if item.reason is None else None for item in converted])
    split = assign(table, run.split, alike)
    kept, items = table.select(usable), [item for item in converted if item.reason is None]
    check_classes(kept, split[usable])
    said = [
        *compare(run.source.kind, table.classes, kept.labels, split[usable]),
        *notes.of_patients(table, run.source.kind),
        *notes.of_copies(table.names, alike, split, table.given),
        *notes.of_labels(kept),
        *notes.of_brightness([item.peak for item in items]),
        *notes.of_size([item.side for item in items], run.size),
    ]
    names = [name for name, item in zip(table.names, converted, strict=True) if item.reason is None]
    write_index(
        folder,
        run,
        samples={
            "path": names,
            "label": kept.labels,
            "given": kept.given,
            "split": split[usable],
            "sha256": [item.sha256 for item in items],
        },
        arrays=_locate(folder, names, items),
        classes=table.classes,
        rejected=len(converted) - len(items),
        patients=_count_patients(kept),
        notes=said,
        decoders=decoders(),
        **_statistics([item for item, part in zip(items, split[usable], strict=True) if part == "train"]),
    )


def _count_patients(table: Table) -> dict[str, int]:
    """How many patients are known, and of how many images."""
    known = [patient for patient in table.patients or [] if patient is not None]
    return {"count": len(set(known)), "images": len(known)}


def _locate(folder: Path, names: list[str], items: list[Converted]) -> dict[str, np.ndarray]:
    """Where each image lies in the beton, and the checksum of its bytes there.

    Raises:
        OSError: they are not those that were written; the next attempt converts these images again.
    """
    offsets, sizes = locate_samples(folder / BETON)
    stored = checksums(np.memmap(folder / BETON, np.uint8, "r"), offsets, sizes)
    expected = np.array([item.checksum for item in items], dtype=np.uint32)
    if (bad := np.flatnonzero(stored != expected)).size:
        forget(folder / JOURNAL, [names[row] for row in bad])
        raise OSError(
            errno.EIO,
            f"{bad.size:,} images read back are not those that were written; they are converted again the next time",
            str(folder / BETON),
        )
    return {"offsets": offsets, "sizes": sizes, "checksums": stored}


def _statistics(items: list[Converted]) -> dict[str, Any]:
    """Mean and standard deviation per channel over all pixels, in [0, 1]."""
    mean = np.array([item.mean for item in items]).mean(axis=0)
    square = np.array([item.square for item in items]).mean(axis=0)
    std = np.sqrt(np.maximum(square - mean**2, 0))
    return {"mean": (mean / 255).round(6).tolist(), "std": (std / 255).round(6).tolist()}
