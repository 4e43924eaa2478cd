"""Tiny trees in the layouts of the five medical datasets, oddities included, with generated images only."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from zlib import crc32

import numpy as np
from PIL import Image

from noisewise.data.readers import covid, dermnet, fetal, mura, nct, read
from noisewise.data.table import Table
from noisewise.runs.config import Source

SIDE = 12


def draw(path: Path, grey: bool = False) -> None:
    """An image that no other path gets, grey or in colour."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(crc32(os.fsencode("/".join(path.parts[-5:]))))
    Image.fromarray(rng.integers(0, 256, (SIDE, SIDE) if grey else (SIDE, SIDE, 3), dtype=np.uint8)).save(path)


def make_fetal(root: Path) -> None:
    """Three patients a class to train on, one to test on, with one or two images each; the table as published."""
    root.mkdir(parents=True)
    lines = ["Image_name;Patient_num;Plane;Brain_plane;Operator;US_Machine;Train "]
    for number, plane in enumerate(list(fetal.PLANES) * 4, 1):
        for image in range(1, 2 + number % 2):
            name = f"Patient{number:05}_Plane{1 + number % 6}_{image}_of_2"
            draw(root / "Images" / f"{name}.png", grey=True)
            brain = "Trans-thalamic" if plane == "Fetal brain" else "Not A Brain"
            lines.append(f"{name};{number};{plane};{brain};Op. {number % 3};Voluson E6;{int(number <= 18)}")
    (root / "FETAL_PLANES_DB_data.csv").write_text("\r\n".join(lines) + "\r\n", encoding="utf-8")
    (root / "FETAL_PLANES_DB_data.xlsx").write_bytes(b"the same table")


def make_dermnet(root: Path) -> None:
    """Two images a class to train on, one to test on."""
    for name in dermnet.COUNTS:
        for path in ("train/{}/07a{}.jpg", "train/{}/b-{}-1.jpg", "test/{}/c-{}.jpg"):
            draw(root / path.format(name, name.split()[0]))


def make_covid(root: Path) -> None:
    """Both of the download's parts: the lung data, and the infection data with some of its images."""
    lung, infection = (
        root / f"{name} Segmentation Data" / f"{name} Segmentation Data" for name in ("Lung", "Infection")
    )
    for split in ("Train", "Val", "Test"):
        for name, file in (
            ("COVID-19", "covid_{}.png"),
            ("Non-COVID", "non_COVID ({}).png"),
            ("Normal", "Normal ({}).png"),
        ):
            for number in range(3):
                image = f"{split[:2]}{file.format(number)}"
                for folder in (lung / split / name / "images", lung / split / name / "lung masks"):
                    draw(folder / image, grey=True)
            for folder in ("images", "infection masks", "lung masks"):
                draw(infection / split / name / folder / image, grey=True)


def make_mura(root: Path) -> None:
    """Three patients a part to train on and one to test on, both lists of studies and both of images."""
    for split, patients in (("train", range(1, 4)), ("valid", range(4, 5))):
        images, studies = [], []
        for part in mura.COUNTS:
            for patient in patients:
                kind = ("positive", "negative")[patient % 2]
                study = f"MURA-v1.1/{split}/XR_{part}/patient{patient + 11000 * (split == 'valid'):05}/study1_{kind}"
                studies.append(f"{study}/,{patient % 2}")
                images += [f"{study}/image{number}.png" for number in (1, 2)]
        for image in images:
            draw(root / image, grey=True)
        (root / Path(images[0]).with_name("._image1.png")).write_bytes(b"left behind by macOS")
        (root / f"MURA-v1.1/{split}_image_paths.csv").write_text("\n".join(images) + "\n")
        (root / f"MURA-v1.1/{split}_labeled_studies.csv").write_text("\n".join(studies) + "\n")


def make_nct(root: Path) -> None:
    """Three images a class to train on, one to test on."""
    for name in nct.COUNTS:
        for letter in "ABC":
            draw(root / f"NCT-CRC-HE-100K/{name}/{name}-AAA{letter}.tif")
        draw(root / f"CRC-VAL-HE-7K/{name}/{name}-TCGA-AAAD.tif")


# Kind -> how its stand-in is written into a folder that is not there yet, and its classes.
STAND_INS: dict[str, tuple[Callable[[Path], None], Sequence[str]]] = {
    "covid": (make_covid, list(covid.COUNTS)),
    "dermnet": (make_dermnet, list(dermnet.COUNTS)),
    "fetal": (make_fetal, list(fetal.COUNTS)),
    "mura": (make_mura, list(mura.COUNTS)),
    "nct": (make_nct, list(nct.COUNTS)),
}


def make(kind: str, data: Path) -> Path:
    """The root of a new stand-in in a folder."""
    STAND_INS[kind][0](data / kind)
    return data / kind


def found_in(kind: str, root: Path) -> Table:
    return read(Source(kind, str(root)), root)


def rename(path: Path, name: str) -> Path:
    return path.rename(path.with_name(name))


def edit(path: Path, old: str, new: str, times: int = -1) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, times))


def remove(path: Path) -> None:
    shutil.rmtree(path) if path.is_dir() else path.unlink()
