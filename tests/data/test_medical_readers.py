from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from tests.data.stand_ins import STAND_INS, draw, edit, found_in, make, rename

from noisewise.data.prepare import prepare
from noisewise.data.split import assign
from noisewise.data.table import SPLITS, Row, Table
from noisewise.runs.config import Prepare, Source, Split

LUNG = "Lung Segmentation Data/Lung Segmentation Data"
INFECTION = "Infection Segmentation Data"


def contents(kind: str, root: Path) -> list[tuple[str, str, str | None, str]]:
    """Each image's name without suffix, class, patient and split, sorted."""
    table = found_in(kind, root)
    patients = table.patients or [None] * len(table.images)
    rows = zip(table.images, table.labels, patients, table.split, strict=True)
    return sorted(((path.stem, table.classes[label], *rest) for path, label, *rest in rows), key=str)


def convert(root: Path, old: str, new: str) -> None:
    for path in root.rglob(f"*{old}"):
        if not path.name.startswith("."):
            Image.open(path).save(path.with_suffix(new))
            path.unlink()


# As published


@pytest.mark.parametrize(
    ("kind", "each", "train", "val", "test"),
    [
        ("covid", [9] * 3, 9, 9, 9),
        ("dermnet", [3] * 23, 46, 0, 23),
        ("fetal", [8, 4, 8, 8, 4, 4], 27, 0, 9),
        ("mura", [8] * 7, 42, 0, 14),
        ("nct", [4] * 9, 27, 0, 9),
    ],
)
def test_published_layout(tmp_path, kind, each, train, val, test):
    table = found_in(kind, make(kind, tmp_path))
    assert [table.split.count(part) for part in SPLITS] == [train, val, test]
    assert table.classes == sorted(STAND_INS[kind][1])
    assert np.bincount(table.labels).tolist() == each
    assert (table.patients is not None) == (kind in ("fetal", "mura"))


def test_labels_patients_and_splits_are_those_of_the_names(tmp_path):
    for path, plane, patient, split in contents("fetal", make("fetal", tmp_path)):
        number = int(path[7:12])
        assert int(patient) == number and split == ("train" if number <= 18 else "test")
        assert plane == ["abdomen", "brain", "femur", "thorax", "cervix", "other"][(number - 1) % 6]
    mura = found_in("mura", make("mura", tmp_path))
    for path, label, patient, split in zip(mura.images, mura.labels, mura.patients, mura.split, strict=True):
        assert f"/{'valid' if split == 'test' else 'train'}/XR_{mura.classes[label]}/{patient}/" in path.as_posix()
    covid = found_in("covid", make("covid", tmp_path))
    assert {path.parent.name for path in covid.images} == {"images"}
    assert not any(INFECTION in path.as_posix() for path in covid.images)
    nct = found_in("nct", make("nct", tmp_path))
    assert {("TCGA" in path.name, split) for path, split in zip(nct.images, nct.split, strict=True)} == {
        (False, "train"),
        (True, "test"),
    }


@pytest.mark.parametrize("kind", STAND_INS)
def test_prepared_to_a_pack(tmp_path, kind):
    root = make(kind, tmp_path)
    pack = prepare(Prepare(kind, Source(kind, kind), size=16), tmp_path)
    table = found_in(kind, root)
    assert pack.classes == table.classes
    assert len(pack.labels) == len(table.images)


# Copies that hold the same


@pytest.mark.parametrize("kind", STAND_INS)
def test_nested_or_with_clutter_beside(tmp_path, kind):
    root = make(kind, tmp_path)
    expected = contents(kind, root)
    archive = root / "archive" / "data"
    archive.mkdir(parents=True)
    for path in list(root.iterdir()):
        if path.name != "archive":
            path.rename(archive / path.name)
    (root / "__MACOSX" / "train").mkdir(parents=True)
    (archive / "notes").mkdir()
    assert contents(kind, root) == expected


@pytest.mark.parametrize(
    ("kind", "below"),
    [
        ("covid", LUNG),
        ("covid", f"{LUNG}/Train"),
        ("dermnet", "train"),
        ("fetal", "Images"),
        ("mura", "MURA-v1.1"),
        ("mura", "MURA-v1.1/train/XR_HAND"),
        ("nct", "NCT-CRC-HE-100K"),
    ],
)
def test_root_set_to_a_folder_within(tmp_path, kind, below):
    root = make(kind, tmp_path)
    assert contents(kind, root / below) == contents(kind, root)


def _double(*folders: str) -> Callable[[Path], None]:
    def change(root: Path) -> None:
        for name in folders:
            inner = rename(root / name, "moved")
            (root / name).mkdir()
            inner.rename(root / name / Path(name).name)

    return change


def _rename_classes(change: Callable[[str], str], *parts: str) -> Callable[[Path], None]:
    def change_all(root: Path) -> None:
        for part in parts:
            for folder in list((root / part).iterdir()):
                rename(folder, change(folder.name))

    return change_all


def _rename_covid(root: Path) -> None:
    lung = root / LUNG
    for part, (covid, other, normal) in {
        "Train": ("COVID", "Non COVID", "NORMAL"),
        "Val": ("COVID19", "non_covid", "normal"),
        "Test": ("covid-19", "Non-Covid-19", "Normal"),
    }.items():
        for old, new in (("COVID-19", "moved"), ("moved", covid), ("Non-COVID", "moved"), ("moved", other)):
            rename(lung / part / old, new)
        rename(rename(lung / part / "Normal", "moved"), normal)
    rename(lung / "Val", "validation")


def _flatten_covid(root: Path) -> None:
    shutil.rmtree(root / INFECTION)
    for images in list((root / LUNG).rglob("images")):
        shutil.rmtree(images.parent / "lung masks")
        for path in images.iterdir():
            path.rename(images.parent / path.name)
        images.rmdir()


def _infection_under_another_name(root: Path) -> None:
    rename(root / INFECTION / INFECTION, "more")
    (root / INFECTION / "more").rename(root / "Lung Segmentation Data" / "more")


def _fetal_with_commas(root: Path) -> None:
    table = rename(root / "FETAL_PLANES_DB_data.csv", "fetal_planes_db_data.csv")
    edit(table, ";", ",")
    edit(table, "Train ", "Train")
    edit(table, "_of_2,", "_of_2.png,")


def _mura_part_renamed(root: Path) -> None:
    rename(rename(root / "MURA-v1.1", "mura") / "valid", "val")
    first = "MURA-v1.1/train/XR_SHOULDER/patient00001"
    edit(root / "mura" / "train_image_paths.csv", first, f"Img_Path\n{first}", 1)


def _mura_without_lists(root: Path) -> None:
    for path in root.rglob("*.csv"):
        path.unlink()


def _mura_lists_above(root: Path) -> None:
    for path in list((root / "MURA-v1.1").glob("*.csv")):
        path.rename(root / path.name)


VARIANTS = {
    "covid classes renamed": ("covid", _rename_covid),
    "covid without masks": ("covid", _flatten_covid),
    "covid without infection data": ("covid", lambda root: shutil.rmtree(root / INFECTION)),
    "covid infection data renamed": ("covid", _infection_under_another_name),
    "dermnet without Photos": ("dermnet", _rename_classes(lambda name: name.replace(" Photos", ""), "train", "test")),
    "dermnet with underscores": ("dermnet", _rename_classes(lambda name: name.lower().replace(" ", "_"), "test")),
    "dermnet with ampersands": ("dermnet", _rename_classes(lambda name: name.replace("and", "&"), "train", "test")),
    "dermnet doubled": ("dermnet", _double("train", "test")),
    "dermnet as png": ("dermnet", lambda root: convert(root, ".jpg", ".PNG")),
    "fetal with commas and suffixes": ("fetal", _fetal_with_commas),
    "fetal images doubled": ("fetal", _double("Images")),
    "fetal as jpg": ("fetal", lambda root: convert(root, ".png", ".jpg")),
    "fetal images elsewhere": ("fetal", lambda root: rename(root / "Images", "pictures")),
    "mura renamed, with a header": ("mura", _mura_part_renamed),
    "mura without lists": ("mura", _mura_without_lists),
    "mura lists above": ("mura", _mura_lists_above),
    "mura as jpg": ("mura", lambda root: convert(root, ".png", ".jpg")),
    "nct doubled": ("nct", _double("NCT-CRC-HE-100K", "CRC-VAL-HE-7K")),
    "nct as png": ("nct", lambda root: convert(root, ".tif", ".png")),
    "nct parts renamed": ("nct", lambda root: rename(root / "NCT-CRC-HE-100K", "nct_crc_he_100k_png")),
    "nct classes in lower case": ("nct", _rename_classes(str.lower, "CRC-VAL-HE-7K")),
    "nct with the other variant beside": ("nct", lambda root: draw(root / "NCT-CRC-HE-100K-NONORM/ADI/1.tif")),
}


@pytest.mark.parametrize("name", VARIANTS)
def test_copy_that_holds_the_same(tmp_path, name):
    kind, change = VARIANTS[name]
    root = make(kind, tmp_path)
    expected = contents(kind, root)
    change(root)
    assert contents(kind, root) == expected


@pytest.mark.parametrize("kind", STAND_INS)
def test_links_are_followed(tmp_path, kind):
    root = make(kind, tmp_path)
    (tmp_path / "link").symlink_to(root)
    assert contents(kind, tmp_path / "link") == contents(kind, root)


# Patients


@settings(max_examples=60, deadline=None)
@given(
    patients=st.lists(st.tuples(st.integers(1, 6), st.integers(0, 2), st.booleans()), min_size=15, max_size=40),
    seed=st.integers(0, 9),
)
def test_validation_cut_from_an_official_training_split_shares_no_patient(patients, seed):
    """As fetal and mura have it: patients with one or several classes, an official test split, none for validation."""
    rows = [
        Row(Path(f"/{patient}-{image}.png"), "abc"[(first + image * several) % 3], f"p{patient}", side)
        for patient, (images, first, several) in enumerate(patients)
        for side in ["test" if patient % 5 == 0 else "train"]
        for image in range(images)
    ]
    rows += [
        Row(Path(f"/{name}{extra}.png"), name, f"{name}{extra}", "train" if extra else "test")
        for name in "abc"
        for extra in range(3)
    ]
    table = Table.of(rows, Path("/"))
    split = assign(table, Split(seed=seed))
    side_of = dict(zip(table.patients, split, strict=True))
    assert all(side_of[patient] == side for patient, side in zip(table.patients, split, strict=True))
    assert ((split == "test") == (np.array(table.split) == "test")).all()
    assert all(set(split[table.labels == label]) == set(SPLITS) for label in range(3))
