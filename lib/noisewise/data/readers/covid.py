"""COVID-QU-Ex: chest X-rays in three classes, 33,920 of them with lung masks.

A. M. Tahir et al., "COVID-19 infection localization and severity grading from chest X-ray images" (2021).
Lung Segmentation Data/{Train,Val,Test}/CLASS/{images,lung masks}/*.png: only `images` are read. The download also has
Infection Segmentation Data: a part of the same images with a split of its own, which would leak, so it is never read.
"""

from __future__ import annotations

from pathlib import Path

from noisewise.data.readers.layout import read_class_folders, split_folders
from noisewise.data.readers.origin import Origin
from noisewise.data.readers.walk import folders_in, plain
from noisewise.data.table import Table
from noisewise.errors import RunError
from noisewise.runs.config import Source

# Class -> images to train on, to validate on and to test on.
COUNTS = {"COVID-19": (7658, 1903, 2395), "Non-COVID": (7208, 1802, 2253), "Normal": (6849, 1712, 2140)}
SPLITS = ("train", "val", "test")

ORIGIN = Origin(
    title="COVID-QU-Ex (its Lung Segmentation Data)",
    page="https://www.kaggle.com/datasets/anasmohammedtahir/covidqu",
    size="1.2 GB",
    terms="CC BY-SA 4.0, as its page states; it joins X-rays of several collections with terms of their own",
    tree="""
        Lung Segmentation Data/Lung Segmentation Data/
          Train/COVID-19/images/*.png
          Train/Non-COVID/... and Train/Normal/...
          Val/... and Test/... (the same)
    """,
)

_NAMES = {
    **dict.fromkeys(("covid", "covid19"), "COVID-19"),
    **dict.fromkeys(("noncovid", "noncovid19"), "Non-COVID"),
    "normal": "Normal",
}


def read(source: Source, root: Path) -> Table:
    """The X-rays of the three splits, at or near `root`.

    Raises:
        RunError: data; no such dataset, or one that is not whole or not as published.
    """
    return read_class_folders(root, ORIGIN, list(COUNTS), _class_of, SPLITS, holds=_is_lung_data, inputs=_inputs)


def _class_of(name: str) -> str | None:
    return _NAMES.get(plain(name))


def _is_lung_data(folder: Path) -> bool:
    """Whether this is not the Infection Segmentation Data, which only it has masks of."""
    named = any(plain(part).startswith("infectionsegmentation") for part in folder.parts)
    within = (
        inner for part in split_folders(folder).values() for name in folders_in(part) for inner in folders_in(name)
    )
    return not named and not any(plain(inner.name).startswith("infectionmask") for inner in within)


def _inputs(folder: Path) -> Path:
    """The folder of a class's X-rays: `images` within it, or itself in copies that have no masks."""
    below = {plain(inner.name): inner for inner in folders_in(folder)}
    if "images" in below:
        return below["images"]
    if masks := [inner for name, inner in below.items() if "mask" in name]:
        raise RunError("data", f"{folder} has {masks[0].name} but no images", ORIGIN.advice(folder.parent.parent))
    return folder
