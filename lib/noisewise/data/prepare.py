"""Images into a pack: read, check and convert on every core, write the beton, then the index.

All is done in a folder beside the pack's, NAME.part, which is renamed when it is whole. One process at a time works in
it; another that wants the same pack waits. Whatever ends it (a kill, a full disk, too many bad images), what was
converted stays, and the next attempt goes on from there; images that have changed since are converted again.

`format: auto` is raw as long as the pixels take at most 40 GB, as those of the study's five datasets do at 256 px, and
JPEG above: a raw pack is exact and read several times faster, a JPEG one about a sixth of its size (bench/convert.md).
"""

from __future__ import annotations

import csv
import errno
import importlib.metadata
import io
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from noisewise.data import duplicates
from noisewise.data.beton import BetonWriter, checksums, encoder, locate_samples
from noisewise.data.checks import compare
from noisewise.data.convert import Converted, convert_all, stamp_of
from noisewise.data.images import FITS
from noisewise.data.journal import Journal
from noisewise.data.pack import BETON, MANIFEST, REJECTED, Pack, make_again, pack_folder, write_index
from noisewise.data.readers import read
from noisewise.data.sheets import write_sheets
from noisewise.data.split import assign
from noisewise.data.table import Table
from noisewise.errors import RunError, UserError, unknown
from noisewise.runs.config import Prepare
from noisewise.runs.files import replacing
from noisewise.runs.intensity import parse_intensity
from noisewise.runs.lease import Lease, LeaseHeld

FORMATS = ("auto", "raw", "jpeg")
RAW_BYTES = 40e9  # of pixels, up to which "auto" is raw
JOURNAL = "journal.jsonl"
NAMED = 5  # how many bad images an error names
DARK = 0.25  # 16-bit images that all stay below this share of the full range are probably not 16-bit ones
WAIT_SECONDS = 0.5

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
    while not (folder / MANIFEST).exists():
        try:
            with Lease(folder.with_name(f".{folder.name}.lease")):
                if not (folder / MANIFEST).exists():
                    workshop.mkdir(exist_ok=True)
                    _make(workshop, run, table, report)
                    workshop.rename(folder)
                    (folder / JOURNAL).unlink()
        except LeaseHeld:
            report(0, len(table.images))  # hears of a wish to stop
            time.sleep(WAIT_SECONDS)


def _make(folder: Path, run: Prepare, table: Table, report: Report) -> None:
    count = len(table.images)
    if run.format == "auto":
        run = replace(run, format="raw" if count * run.size**2 * 3 <= RAW_BYTES else "jpeg")
    _check_space(folder, run, count)
    converted = _convert(folder, run, table, report)
    usable = np.array([item.reason is None for item in converted])
    _write_rejected(folder, run, table.relative_paths(), converted)
    kept = [item for item in converted if item.reason is None]
    _write_index(folder, run, table.select(usable), kept, rejected=count - len(kept))
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
    names, count = table.relative_paths(), len(table.images)
    about = {"run": run.key, "format": run.format, **_decoders()}
    journal = Journal(folder / JOURNAL, folder / BETON, about, count)
    found = {name: journal.done[name] for name in _still_as_they_were(journal, table, names)}
    todo = [row for row, name in enumerate(names) if name not in found]
    writer = BetonWriter(folder / BETON, journal.capacity, run.size, run.format, journal.pages)
    pending: dict[str, Converted] = {}
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


def _still_as_they_were(journal: Journal, table: Table, names: list[str]) -> Iterator[str]:
    """Names of the images that need no second conversion. Bad ones are tried again: they may have been mended."""
    for path, name in zip(table.images, names, strict=True):
        item = journal.done.get(name)
        if item and item.reason is None and item.stamp == stamp_of(path):
            yield name


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


def _decoders() -> dict[str, str]:
    """Versions of what turns a file into pixels: halves of two versions make no whole."""
    return {name: importlib.metadata.version(name) for name in ("pillow", "opencv-python-headless", "pydicom")}


def _write_rejected(folder: Path, run: Prepare, names: list[str], converted: list[Converted]) -> None:
    """List the unusable files and why.

    Raises:
        RunError: data; they are more than `run.max_rejected` of all.
    """
    bad = [(name, item.reason) for name, item in zip(names, converted, strict=True) if item.reason is not None]
    buffer = io.StringIO(newline="")
    csv.writer(buffer, lineterminator="\n").writerows([("path", "reason"), *bad])
    with replacing(folder / REJECTED, "wb") as file:
        file.write(buffer.getvalue().encode(errors="backslashreplace"))
    if len(bad) > run.max_rejected * len(converted) or len(bad) == len(converted):
        first = "\n  ".join(f"{name}: {reason}" for name, reason in bad[:NAMED])
        raise RunError(
            "data",
            f"{len(bad):,} of {len(converted):,} files cannot be used, more than max_rejected={run.max_rejected:g} "
            f"of them:\n  {first}",
            f"All are listed in {folder / REJECTED}. Mend or remove them, or raise max_rejected in the dataset's file, "
            "and submit again: what was converted is kept.",
        )


def _write_index(folder: Path, run: Prepare, table: Table, items: list[Converted], rejected: int) -> None:
    digests = [item.sha256 for item in items]
    names, alike = table.relative_paths(), duplicates.groups_alike(digests)
    split = assign(table, run.split, alike)
    offsets, sizes = locate_samples(folder / BETON)
    stored = checksums(np.memmap(folder / BETON, np.uint8, "r"), offsets, sizes)
    if not np.array_equal(stored, np.array([item.checksum for item in items], dtype=np.uint32)):
        (folder / JOURNAL).unlink()
        raise OSError(errno.EIO, "the pixels read back are not those that were written", str(folder / BETON))
    notes = [
        *compare(run.source.kind, table.classes, table.labels, split),
        *duplicates.describe(names, alike, split, table.given),
        *_describe_depth(items),
    ]
    write_index(
        folder,
        run,
        samples={"path": names, "label": table.labels, "given": table.given, "split": split, "sha256": digests},
        arrays={"offsets": offsets, "sizes": sizes, "checksums": stored},
        classes=table.classes,
        rejected=rejected,
        notes=notes,
        **_statistics([item for item, part in zip(items, split, strict=True) if part == "train"]),
    )


def _describe_depth(items: list[Converted]) -> list[str]:
    peaks = [item.peak for item in items if item.peak is not None]
    if not peaks or max(peaks) >= DARK:
        return []
    return [
        f"the brightest of {len(peaks):,} 16-bit images reaches {max(peaks):.1%} of the full range, so all of them are "
        "dark: set the dataset's intensity, for instance to 0:4095 for 12 bits, or to stretch"
    ]


def _statistics(items: list[Converted]) -> dict[str, Any]:
    """Mean and standard deviation per channel over all pixels, in [0, 1]."""
    mean = np.array([item.mean for item in items]).mean(axis=0)
    square = np.array([item.square for item in items]).mean(axis=0)
    std = np.sqrt(np.maximum(square - mean**2, 0))
    return {"mean": (mean / 255).round(6).tolist(), "std": (std / 255).round(6).tolist()}
