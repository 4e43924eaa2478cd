"""A pack in a few lines of text, as a person wants to see it once it is made."""

from __future__ import annotations

import csv
import re
from collections import defaultdict

from noisewise.data.pack import MANIFEST, REJECTED, SHEETS, Pack
from noisewise.data.table import SPLITS

REASONS, NOTES = 4, 8  # that are shown
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
    lines += [f"note: {note}" for note in manifest["notes"][:NOTES]]
    if (more := len(manifest["notes"]) - NOTES) > 0:
        lines.append(f"and {more} more notes in {pack.folder / MANIFEST}")
    if (patients := manifest["patients"])["count"]:
        lines.append(f"{patients['count']:,} patients, known of {patients['images']:,} of the images")
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
    """The commonest reasons, numbers in them left out, each with its first file."""
    if not (count := pack.manifest["rejected"]):
        return []
    with open(pack.folder / REJECTED, newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    alike = defaultdict(list)
    for row in rows:
        alike[re.sub(r"[\d.,]+", "N", row["reason"])].append(row)
    common = sorted(alike.values(), key=len, reverse=True)
    lines = [f"  {len(found):,} such as {found[0]['path']}: {found[0]['reason']}" for found in common[:REASONS]]
    more = [f"  and for {len(common) - REASONS:,} more reasons"] if len(common) > REASONS else []
    return [f"{count:,} files could not be used ({pack.folder / REJECTED}):", *lines, *more]


def _bytes(count: int) -> str:
    return f"{count / 1e9:.2f} GB" if count >= 1e9 else f"{count / 1e6:.1f} MB"
