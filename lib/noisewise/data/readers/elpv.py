"""ELPV: 2,624 electroluminescence images of solar cells, from the package `elpv-dataset` (CC BY-NC-SA 4.0).

S. Deitsch et al., "Segmentation of photovoltaic module cells in uncalibrated electroluminescence images" (2021).
Each cell is mono- or polycrystalline, and an expert gave the probability that it is defective (0, 1/3, 2/3 or 1).
Four classes: crystal x condition, defective from a probability of 1/2.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from noisewise.data.table import Row, Table
from noisewise.errors import RunError
from noisewise.runs.config import Source

CRYSTALS = ("mono", "poly")
DEFECTIVE_FROM = 0.5


def read(source: Source, root: Path) -> Table:
    """The images of `labels.csv` in `root`, or in the installed package where the source has no root.

    Raises:
        RunError: data; neither is there, or a row is not as published.
    """
    folder = root if source.root else _installed()
    labels = folder / "labels.csv"
    if not labels.is_file():
        raise RunError("data", f"there is no {labels}", "Type: pip install elpv-dataset")
    lines = labels.read_text(encoding="utf-8").splitlines()
    return Table.of((_row(labels, number, line) for number, line in enumerate(lines, 1) if line.strip()), labels)


def _installed() -> Path:
    """The package's data folder; the package itself, which loads every image at once, is not imported."""
    spec = find_spec("elpv_dataset")
    if spec is None or spec.origin is None:
        raise RunError("data", "the package elpv-dataset is not installed", "Type: pip install elpv-dataset")
    return Path(spec.origin).parent / "data"


def _row(labels: Path, number: int, line: str) -> Row:
    try:
        image, probability, crystal = line.split()
        condition = "defective" if float(probability) >= DEFECTIVE_FROM else "functional"
    except ValueError:
        crystal = ""
    if crystal not in CRYSTALS:
        raise RunError(
            "data",
            f"{labels}, row {number}: expected an image, a probability and mono or poly, got '{line}'",
            "Type: pip install --force-reinstall elpv-dataset",
        )
    return Row(labels.parent / image, f"{crystal}-{condition}")
