"""A pack in a few lines of text, as a person wants to see it once it is made."""

from __future__ import annotations

import csv
from itertools import islice

from noisewise.data.pack import REJECTED, SHEETS, Pack
from noisewise.data.table import SPLITS

REASONS = 3  # rejected files that are named
WIDEST = 40  # letters of a class's name


def describe(pack: Pack) -> list[str]:
    """Images a class and split, what was rejected and what looks wrong, and where everything lies."""
    manifest = pack.manifest
    how = "raw" if pack.format == "raw" else f"JPEG of quality {manifest['prepare']['quality']}"
    size = pack.beton.stat().st_size
    lines = [
        f"{len(pack):,} images in {len(pack.classes)} classes, {pack.size} x {pack.size} px, {how}, {_bytes(size)}"
    ]
    lines += ["", *_counts(pack), ""]
    lines += _rejected(pack)
    lines += [f"note: {note}" for note in manifest["notes"]]
    lines += [
        f"pack      {pack.folder}",
        f"look at   {pack.folder / SHEETS}/*.png",
        f"manifest  {manifest['hash'][:16]}  (equal for all who convert the same files in the same way)",
    ]
    return lines


def _counts(pack: Pack) -> list[str]:
    per_split = pack.manifest["per_split"]
    names = [name if len(name) <= WIDEST else f"{name[: WIDEST - 1]}…" for name in pack.classes]
    width = max(map(len, (*names, "all classes")))
    rows = [(name, [per_split[part][number] for part in SPLITS]) for number, name in enumerate(names)]
    rows.append(("all classes", [sum(per_split[part]) for part in SPLITS]))
    heads = "".join(f"{part:>9}" for part in (*SPLITS, "all"))
    return [" " * width + heads] + [
        f"{name:<{width}}" + "".join(f"{count:>9,}" for count in (*counts, sum(counts))) for name, counts in rows
    ]


def _rejected(pack: Pack) -> list[str]:
    if not (count := pack.manifest["rejected"]):
        return []
    with open(pack.folder / REJECTED, newline="", encoding="utf-8") as file:
        first = [f"  {row['path']}: {row['reason']}" for row in islice(csv.DictReader(file), REASONS)]
    more = [f"  and {count - REASONS:,} more"] if count > REASONS else []
    return [f"{count:,} files could not be used ({pack.folder / REJECTED}):", *first, *more]


def _bytes(count: int) -> str:
    return f"{count / 1e9:.2f} GB" if count >= 1e9 else f"{count / 1e6:.1f} MB"
