from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.data.stand_ins import draw, edit, found_in, make, remove, rename

from noisewise.errors import RunError

LUNG = "Lung Segmentation Data/Lung Segmentation Data"


def error_of(kind: str, root: Path) -> RunError:
    with pytest.raises(RunError) as error:
        found_in(kind, root)
    assert error.value.kind == "data" and error.value.advice
    return error.value


# What is not there, or not as published


@pytest.mark.parametrize(
    ("kind", "page", "terms"),
    [
        ("covid", "kaggle.com/datasets/anasmohammedtahir/covidqu", "CC BY-SA 4.0, as its page states"),
        ("dermnet", "kaggle.com/datasets/shubhamgoel27/dermnet", "its own terms"),
        ("fetal", "zenodo.org/records/3904280", "CC BY 4.0"),
        ("mura", "aimi.stanford.edu/datasets/mura-msk-xrays", "research use agreement"),
        ("nct", "zenodo.org/records/1214456", "CC BY 4.0"),
    ],
)
def test_missing_dataset_says_where_to_get_it(tmp_path, kind, page, terms):
    error = error_of(kind, tmp_path / "nowhere")
    assert str(tmp_path / "nowhere") in error.message and error.message.endswith("there is no such folder")
    assert f"Unpack it into {tmp_path / 'nowhere'}" in error.advice
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
            remove(root / name)

    return change


def _in_fetal(old: str, new: str) -> Callable[[Path], None]:
    return lambda root: edit(root / "FETAL_PLANES_DB_data.csv", old, new, 1)


def _in_mura(old: str, new: str) -> Callable[[Path], None]:
    return lambda root: edit(root / "MURA-v1.1/train_image_paths.csv", old, new, 1)


def _without_lists(root: Path) -> None:
    for path in root.rglob("*.csv"):
        path.unlink()


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
        lambda root: (rename(root / "MURA-v1.1/train/XR_HAND", "XR_FOOT"), _without_lists(root)),
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
def test_copy_that_is_wrong(tmp_path, name):
    kind, change, words = WRONG[name]
    root = make(kind, tmp_path)
    change(root)
    error = error_of(kind, root)
    assert str(root) in error.message
    with pytest.raises(RunError, match=words):
        raise error


def test_root_set_to_the_images_that_are_not_normalised(tmp_path):
    root = make("nct", tmp_path)
    draw(root / "NCT-CRC-HE-100K-NONORM/ADI/1.tif")
    assert "not colour-normalised" in error_of("nct", root / "NCT-CRC-HE-100K-NONORM").message
