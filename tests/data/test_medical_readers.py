from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from tests.data.stand_ins import STAND_INS, draw

from noisewise.data.prepare import prepare
from noisewise.data.readers import read
from noisewise.data.split import assign
from noisewise.data.table import SPLITS, Row, Table
from noisewise.errors import RunError
from noisewise.runs.config import Prepare, Source, Split

LUNG = "Lung Segmentation Data/Lung Segmentation Data"
INFECTION = "Infection Segmentation Data"


@pytest.fixture(scope="module")
def published(tmp_path_factory) -> Path:
    """A data folder with all five, as published; not to be changed."""
    data = tmp_path_factory.mktemp("published")
    for kind, (make, _) in STAND_INS.items():
        make(data / kind)
    return data


@pytest.fixture
def copy(published, tmp_path) -> Callable[[str], Path]:
    """A copy of one of them that may be changed."""
    return lambda kind: shutil.copytree(published / kind, tmp_path / kind)


def found_in(kind: str, root: Path) -> Table:
    return read(Source(kind, str(root)), root)


def contents(table: Table) -> set[tuple[str, str, str | None, str]]:
    """Each image's name without suffix, class, patient and split."""
    patients = table.patients or [None] * len(table.images)
    rows = zip(table.images, table.labels, patients, table.split, strict=True)
    return {(path.stem, table.classes[label], patient, split) for path, label, patient, split in rows}


def error_of(kind: str, root: Path) -> RunError:
    with pytest.raises(RunError) as error:
        found_in(kind, root)
    assert error.value.kind == "data" and error.value.advice
    return error.value


def edit(path: Path, old: str, new: str, times: int = -1) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, times))


def convert(root: Path, old: str, new: str) -> None:
    for path in root.rglob(f"*{old}"):
        if not path.name.startswith("."):
            Image.open(path).save(path.with_suffix(new))
            path.unlink()


def rename(path: Path, name: str) -> Path:
    return path.rename(path.with_name(name))


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
def test_published_layout(published, kind, each, train, val, test):
    table = found_in(kind, published / kind)
    assert [table.split.count(part) for part in SPLITS] == [train, val, test]
    assert table.classes == sorted(STAND_INS[kind][1])
    assert np.bincount(table.labels).tolist() == each
    assert (table.patients is not None) == (kind in ("fetal", "mura"))


def test_labels_patients_and_splits_are_those_of_the_names(published):
    for path, plane, patient, split in contents(found_in("fetal", published / "fetal")):
        number = int(path[7:12])
        assert int(patient) == number and split == ("train" if number <= 18 else "test")
        assert plane == ["abdomen", "brain", "femur", "thorax", "cervix", "other"][(number - 1) % 6]
    mura = found_in("mura", published / "mura")
    for path, label, patient, split in zip(mura.images, mura.labels, mura.patients, mura.split, strict=True):
        assert f"/{'valid' if split == 'test' else 'train'}/XR_{mura.classes[label]}/{patient}/" in path.as_posix()
    covid = found_in("covid", published / "covid")
    assert {path.parent.name for path in covid.images} == {"images"}
    assert not any(INFECTION in path.as_posix() for path in covid.images)
    nct = found_in("nct", published / "nct")
    assert {("TCGA" in path.name, split) for path, split in zip(nct.images, nct.split, strict=True)} == {
        (False, "train"),
        (True, "test"),
    }


@pytest.mark.parametrize("kind", STAND_INS)
def test_prepared_to_a_pack(copy, kind):
    root = copy(kind)
    pack = prepare(Prepare(kind, Source(kind, kind), size=16), root.parent)
    table = found_in(kind, root)
    assert pack.classes == table.classes
    assert len(pack.labels) == len(table.images)


# Copies that hold the same


@pytest.mark.parametrize("kind", STAND_INS)
def test_nested_or_with_clutter_beside(copy, published, kind):
    expected = contents(found_in(kind, published / kind))
    root = copy(kind)
    archive = root / "archive" / "data"
    archive.mkdir(parents=True)
    for path in list(root.iterdir()):
        if path.name != "archive":
            path.rename(archive / path.name)
    (root / "__MACOSX" / "train").mkdir(parents=True)
    (archive / "notes").mkdir()
    assert contents(found_in(kind, root)) == expected


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
def test_root_set_to_a_folder_within(published, kind, below):
    assert contents(found_in(kind, published / kind / below)) == contents(found_in(kind, published / kind))


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
    edit(root / "mura" / "train_image_paths.csv", "MURA-v1.1/train/XR_ELBOW", "path\nMURA-v1.1/train/XR_ELBOW", 0)
    text = (root / "mura" / "train_image_paths.csv").read_text()
    (root / "mura" / "train_image_paths.csv").write_text("Img_Path\n" + text)


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
def test_copy_that_holds_the_same(copy, published, name):
    kind, change = VARIANTS[name]
    root = copy(kind)
    change(root)
    assert contents(found_in(kind, root)) == contents(found_in(kind, published / kind))


def test_links_are_followed(published, tmp_path):
    for kind in STAND_INS:
        (tmp_path / kind).symlink_to(published / kind)
        assert contents(found_in(kind, tmp_path / kind)) == contents(found_in(kind, published / kind))


# What is not there, or not as published


@pytest.mark.parametrize(
    ("kind", "page", "terms"),
    [
        ("covid", "kaggle.com/datasets/anasmohammedtahir/covidqu", "CC BY-SA 4.0, as its page states"),
        ("dermnet", "kaggle.com/datasets/shubhamgoel27/dermnet", "its own terms"),
        ("fetal", "zenodo.org/records/3904280", "CC BY 4.0"),
        ("mura", "stanfordmlgroup.github.io/competitions/mura", "research use agreement"),
        ("nct", "zenodo.org/records/1214456", "CC BY 4.0"),
    ],
)
def test_missing_dataset_says_where_to_get_it(tmp_path, kind, page, terms):
    error = error_of(kind, tmp_path / "nowhere")
    assert str(tmp_path / "nowhere") in error.message and "nothing: there is no such folder" in error.message
    assert page in error.advice and terms in error.advice and "about " in error.advice and "*." in error.advice
    (tmp_path / "empty").mkdir()
    assert "the folder is empty" in error_of(kind, tmp_path / "empty").message
    (tmp_path / "file").write_text("")
    assert "a file, where a folder should be" in error_of(kind, tmp_path / "file").message
    for number in range(8):
        (tmp_path / f"other{number}").mkdir()
    assert "Found there: empty/, file, other0/, other1/, other2/, and 5 more" in error_of(kind, tmp_path).message


def _remove(*names: str) -> Callable[[Path], None]:
    def change(root: Path) -> None:
        for name in names:
            shutil.rmtree(root / name) if (root / name).is_dir() else (root / name).unlink()

    return change


def _in_fetal(old: str, new: str) -> Callable[[Path], None]:
    return lambda root: edit(root / "FETAL_PLANES_DB_data.csv", old, new, 1)


def _in_mura(old: str, new: str, times: int = 1) -> Callable[[Path], None]:
    return lambda root: edit(root / "MURA-v1.1/train_image_paths.csv", old, new, times)


def _empty(name: str) -> Callable[[Path], None]:
    def change(root: Path) -> None:
        shutil.rmtree(root / name)
        (root / name).mkdir()

    return change


MURA_IMAGE = "train/XR_HAND/patient00001/study1_negative/image1.png"
WRONG = {
    "covid infection data only": (
        "covid",
        _remove("Lung Segmentation Data"),
        "Found there: Infection Segmentation Dat",
    ),
    "covid without Val": (
        "covid",
        _remove(f"{LUNG}/Val"),
        "the images for val are lacking. Found there: Test/, Train/",
    ),
    "covid masks without images": (
        "covid",
        _remove(f"{LUNG}/Test/Normal/images"),
        "Normal has lung masks but no images",
    ),
    "covid unknown class": (
        "covid",
        lambda root: rename(root / LUNG / "Train/Normal", "Healthy"),
        "Train/Healthy is no class of COVID-QU-Ex",
    ),
    "covid class twice": (
        "covid",
        lambda root: draw(root / LUNG / "Train/COVID/1.png"),
        "both .* the class 'COVID-19'",
    ),
    "covid twice": ("covid", lambda root: shutil.copytree(root / LUNG, root / "again/data"), "holds 2 copies of COVID"),
    "covid split twice": (
        "covid",
        lambda root: shutil.copytree(root / LUNG / "Val", root / LUNG / "valid"),
        "both .*Val and .*valid are folders for the val split",
    ),
    "dermnet without test": ("dermnet", _remove("test"), "the images for test are lacking. Found there: train/"),
    "dermnet without a class": (
        "dermnet",
        _remove("test/Urticaria Hives"),
        "test does .*no folder for Urticaria Hives",
    ),
    "dermnet unknown class": ("dermnet", lambda root: draw(root / "train/Warts/1.jpg"), "train/Warts is no class of"),
    "dermnet empty class": ("dermnet", _empty("train/Systemic Disease"), "train/Systemic Disease holds no images"),
    "dermnet other files": (
        "dermnet",
        lambda root: (root / "train/Eczema Photos/list.txt").write_text(""),
        "Eczema Photos holds files that are no images .*: 1 of .txt, such as list.txt",
    ),
    "fetal without its table": ("fetal", _remove("FETAL_PLANES_DB_data.csv"), "there is no FETAL.*csv. Found .*xlsx"),
    "fetal without images": ("fetal", _remove("Images"), r"36 of the 36 images .* such as Patient00001.*\(row 2\)"),
    "fetal without an image": (
        "fetal",
        _remove("Images/Patient00003_Plane4_2_of_2.png"),
        r"1 of the 36 images that .* not there, such as Patient00003_Plane4_2_of_2 \(row 6\)",
    ),
    "fetal unknown plane": (
        "fetal",
        _in_fetal("Fetal femur", "Foetal femur"),
        "row 5: Plane 'Foetal femur' is none of F",
    ),
    "fetal unknown split": ("fetal", _in_fetal("E6;1", "E6;2"), "row 2: Train '2' is none of 1, 0"),
    "fetal without a patient": ("fetal", _in_fetal("_2;1;", "_2;;"), "row 2: Patient_num is empty"),
    "fetal without a column": (
        "fetal",
        _in_fetal("Patient_num", "Patient"),
        "has no column 'Patient_num'. It has: Image",
    ),
    "fetal image in two formats": (
        "fetal",
        lambda root: draw(root / "Images/Patient00001_Plane2_1_of_2.jpg"),
        "Patient00001_Plane2_1_of_2.png .* are the same image",
    ),
    "mura without valid": ("mura", _remove("MURA-v1.1/valid"), "there is no folder valid beside train"),
    "mura with one list": ("mura", _remove("MURA-v1.1/valid_image_paths.csv"), "there is no valid_image_paths.csv"),
    "mura incomplete": (
        "mura",
        _remove(*(f"MURA-v1.1/train/XR_{part}" for part in ("HAND", "WRIST", "ELBOW", "FINGER"))),
        "an incomplete copy: of the 42 images that train_image_paths.csv lists, 18 are below",
    ),
    "mura without an image": (
        "mura",
        _remove(f"MURA-v1.1/{MURA_IMAGE}"),
        r"images are missing: .* 41 .*image1.png \(row",
    ),
    "mura odd line": (
        "mura",
        _in_mura("/patient00002/", "/00002/"),
        "train_image_paths.csv, row 3: '.*' is no path like",
    ),
    "mura line twice": ("mura", _in_mura("image2", "image1"), "train_image_paths.csv, row 2: .* is listed before"),
    "mura unknown part": (
        "mura",
        lambda root: (rename(root / "MURA-v1.1/train/XR_HAND", "XR_FOOT"), _mura_without_lists(root)),
        "'XR_FOOT', which is no part",
    ),
    "mura image outside": (
        "mura",
        lambda root: draw(root / "MURA-v1.1/train/XR_HAND/image1.png"),
        "XR_HAND/image1.png is not in a folder XR_PART/patientNNNNN/studyN",
    ),
    "mura image in two formats": (
        "mura",
        lambda root: draw(root / f"MURA-v1.1/{MURA_IMAGE.replace('png', 'jpg')}"),
        "are one image in two formats",
    ),
    "nct without its test images": (
        "nct",
        _remove("CRC-VAL-HE-7K"),
        "images for test are lacking. Found .* NCT-CRC-HE",
    ),
    "nct not normalised": (
        "nct",
        lambda root: rename(root / "NCT-CRC-HE-100K", "NCT-CRC-HE-100K-NONORM"),
        "no folder for training .* Found there: CRC-VAL-HE-7K/, NCT-CRC-HE-100K-NONORM/",
    ),
    "nct without a class": ("nct", _remove("NCT-CRC-HE-100K/MUC"), "there is no folder for MUC"),
    "nct unknown class": ("nct", lambda root: draw(root / "CRC-VAL-HE-7K/TUMOUR/1.tif"), "7K/TUMOUR is no class"),
    "nct image in two formats": (
        "nct",
        lambda root: draw(root / "NCT-CRC-HE-100K/ADI/ADI-AAAB.png"),
        "ADI-AAAB.tif and ADI-AAAB.png are one image in two formats",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_copy_that_is_wrong(copy, name):
    kind, change, words = WRONG[name]
    root = copy(kind)
    change(root)
    error = error_of(kind, root)
    assert str(root) in error.message
    with pytest.raises(RunError, match=words):
        raise error


def test_root_set_to_the_images_that_are_not_normalised(copy):
    root = copy("nct")
    draw(root / "NCT-CRC-HE-100K-NONORM/ADI/1.tif")
    assert "not colour-normalised" in error_of("nct", root / "NCT-CRC-HE-100K-NONORM").message


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
