"""NCT-CRC-HE-100K: stained colorectal tissue (H&E) in nine classes; tested on other patients (CRC-VAL-HE-7K).

J. N. Kather et al., "100,000 histological images of human colorectal cancer and healthy tissue" (2018).
NCT-CRC-HE-100K/CLASS/*.tif to train on, CRC-VAL-HE-7K/CLASS/*.tif to test on. The former is colour-normalised; its
variant NCT-CRC-HE-100K-NONORM is not, and is not taken for it. Which patient an image is of is not published.
"""

from __future__ import annotations

from pathlib import Path

from noisewise.data.readers.layout import read_class_folders
from noisewise.data.readers.origin import Origin, absent
from noisewise.data.readers.walk import plain
from noisewise.data.table import Table
from noisewise.runs.config import Source

# Class -> images to train on, and to test on.
COUNTS = {
    "ADI": (10407, 1338),
    "BACK": (10566, 847),
    "DEB": (11512, 339),
    "LYM": (11557, 634),
    "MUC": (8896, 1035),
    "MUS": (13536, 592),
    "NORM": (8763, 741),
    "STR": (10446, 421),
    "TUM": (14317, 1233),
}
SPLITS = ("train", "test")

ORIGIN = Origin(
    title="NCT-CRC-HE-100K with CRC-VAL-HE-7K",
    page="https://zenodo.org/records/1214456 (NCT-CRC-HE-100K.zip and CRC-VAL-HE-7K.zip)",
    size="12.5 GB",
    terms="CC BY 4.0",
    tree="""
        NCT-CRC-HE-100K/ADI/*.tif
        NCT-CRC-HE-100K/... (BACK, DEB, LYM, MUC, MUS, NORM, STR, TUM)
        CRC-VAL-HE-7K/... (the same)
        (NCT-CRC-HE-100K-NONORM is another dataset: it is not colour-normalised)
    """,
)


def read(source: Source, root: Path) -> Table:
    """The images of both parts, at or near `root`.

    Raises:
        RunError: data; no such dataset, or one that is not whole or not as published.
    """
    if not _is_normalised(root):
        raise absent(ORIGIN, root, "its images are not colour-normalised")
    return read_class_folders(root, ORIGIN, list(COUNTS), _class_of, SPLITS, split_of=_split_of, holds=_is_normalised)


def _class_of(name: str) -> str | None:
    return name.upper() if name.upper() in COUNTS else None


def _split_of(name: str) -> str | None:
    """Copies add to the names (-png), so that only their beginnings count."""
    name = plain(name)
    if name.startswith("nctcrche100k") and "nonorm" not in name:
        return "train"
    return "test" if name.startswith("crcvalhe7k") else None


def _is_normalised(folder: Path) -> bool:
    return "nonorm" not in plain(folder.name)
