from __future__ import annotations

import errno
import io
import os
import re
from pathlib import Path

import pydicom
import pytest
from PIL import Image
from pydicom.dataset import FileDataset, FileMetaDataset

from noisewise.data.readers import read
from noisewise.data.readers.walk import files_below
from noisewise.data.table import Table
from noisewise.errors import RunError
from noisewise.runs.config import Source


def picture(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (4, 4)).save(path, "PNG")
    return path


def files(root: Path, *names: str) -> Path:
    for name in names:
        picture(root / name)
    return root


def dicom(path: Path, patient: str | None) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = pydicom.uid.SecondaryCaptureImageStorage
    header = FileDataset(path, {}, file_meta=meta, preamble=bytes(128))
    header.SpecificCharacterSet = "ISO_IR 192"
    if patient is not None:
        header.PatientID = patient
    header.save_as(path)


def found_in(table: Table) -> dict[str, str]:
    labels = [table.classes[label] for label in table.labels]
    return dict(zip(table.names, labels, strict=True))


def test_every_file_of_a_class_folder_is_listed_whatever_its_suffix(tmp_path):
    files(tmp_path / "set", "b/2.png", "a/10.jpg", "b/1.tif", "a/deep/er/3.bmp", "a/IM0001", "b/notes.txt")
    files(tmp_path / "set", "a/.hidden", "a/Thumbs.db", "b/__MACOSX/2.png", ".git/HEAD", "readme.txt", "table.csv")
    found = read(Source(root="set"), tmp_path)
    assert found_in(found) == {
        "a/10.jpg": "a",
        "a/IM0001": "a",
        "a/deep/er/3.bmp": "a",
        "b/1.tif": "b",
        "b/2.png": "b",
        "b/notes.txt": "b",
    }
    assert found.patients is None and found.split is None and found.stream is None


@pytest.mark.parametrize(
    ("train", "val", "test"),
    [("train", "val", "test"), ("Train", "VALID", "Testing"), ("training", "validation", "TEST")],
)
def test_official_splits_in_any_spelling(tmp_path, train, val, test):
    expected = {train: "train", val: "val", test: "test"}
    files(tmp_path, *(f"{part}/{name}/1.png" for part in expected for name in "ab"))
    found = read(Source(), tmp_path)
    assert dict(zip(found.names, found.split, strict=True)) == {
        f"{part}/{name}/1.png": split for part, split in expected.items() for name in "ab"
    }


def test_numbered_classes_are_in_the_order_of_numbers(tmp_path):
    assert read(Source(), files(tmp_path, "10/a.png", "9/b.png", "1/c.png")).classes == ["1", "9", "10"]


def test_hostile_names_pass(tmp_path):
    names = ['it\'s "so"', " blank .png", "ü/日本語.png", "new\nline.png", "-rf", "A.png", "a.png", "100%{x}.png"]
    files(tmp_path, *(f"one, two/{name}" for name in names), "b/1.png")
    odd = os.fsencode(tmp_path / "b") + b"/caf\xe9.png"
    (tmp_path / "b/1.png").rename(os.fsdecode(odd))
    found = read(Source(), tmp_path)
    assert set(found_in(found)) == {f"one, two/{name}" for name in names} | {"b/caf\\udce9.png"}
    assert all(path.is_file() for path in found.images)


def test_links_are_followed_and_loops_end(tmp_path):
    files(tmp_path / "elsewhere", "b/1.png", "b/in/2.png")
    root = files(tmp_path / "set", "a/x/3.png")
    (root / "b").symlink_to(tmp_path / "elsewhere/b")
    (root / "a/up").symlink_to(root)  # through which b's images would become a's
    (root / "a/x/again").symlink_to(root / "a")
    (root / "a/first").symlink_to(root / "a/x")
    (root / "a/self").symlink_to("self")
    (tmp_path / "elsewhere/b/up").symlink_to("..")
    (root / "a/gone.png").symlink_to("nowhere.png")
    assert found_in(read(Source(root="set"), tmp_path)) == {
        "a/x/3.png": "a",
        "a/gone.png": "a",
        "a/self": "a",
        "b/1.png": "b",
        "b/in/2.png": "b",
    }


def test_pipes_are_no_files(tmp_path):
    picture(tmp_path / "1.png")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("pipe")
    assert files_below(tmp_path) == [tmp_path / "1.png"]


def test_folder_that_may_not_be_read_is_named(tmp_path, monkeypatch):
    root, scandir = files(tmp_path, "a/locked/1.png", "b/1.png"), os.scandir

    def refuse(path):
        if Path(path).name == "locked":
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(RunError, match="a/locked may not be read") as error:
        read(Source(), root)
    assert error.value.kind == "data"


@pytest.mark.parametrize(
    ("names", "words", "advice"),
    [
        ([], "holds no images", "source.root"),
        (["a/1.png", "a/2.png"], "all 2 images .* are of one class, 'a'", "two classes"),
        (["a/1.png", "b/.hidden"], "class folder .*b is empty", "Remove it"),
        (["1.png", "2.png"], "holds 2 files, such as 1.png, but no folder for a class", "folder for each class"),
        (["1.png", "labels.csv"], "no folder for a class", "source.kind to csv .*labels.csv"),
        (["1.png", "T.PARQUET"], "no folder for a class", "source.kind to parquet .*T.PARQUET"),
        (["pathmnist.npz"], "no folder for a class", "source.kind to medmnist .*pathmnist.npz"),
        (["train-images-idx3-ubyte.gz"], "no folder for a class", "source.kind to fashion_mnist"),
        (["images/1.png", "train.csv"], "has one folder, images", "source.kind to csv .*train.csv"),
        (["copy/a/1.png", "copy/b/1.png"], "has one folder, copy", "source.root to .*copy"),
        (["train/1.png", "test/2.png", "train.csv"], "test holds 1 files", "source.kind to csv .*train.csv"),
        (["train/a/1.png", "train/b/1.png", "test/1.png"], "test holds 1 files", "folder for each class"),
        (["train/a/1.png", "other/a/1.png"], "'other' should be one of train, val or test", "Move .*other"),
        (
            ["test/a/1.png", "val/b/1.png"],
            "has 'test' and 'val' of an official split, but no folder 'train'",
            "train/C",
        ),
        (["test/1.png", "control/1.png"], "has 'test' of an official split", "rename"),
        (["val/a/1.png", "valid/b/1.png", "train/a/1.png"], "two folders for the split val, 'val' and 'valid'", "one"),
        (["Train/a/1.png", "train/b/1.png"], "two folders for the split train", "one"),
        (["a/1.png", "A/1.png"], "classes 'A' and 'a', which differ only in case", "one name"),
        (["train/a/1.png", "train/b/1.png", "test/a /1.png"], "classes 'a' and 'a '", "one name"),
    ],
)
def test_folder_that_is_no_dataset(tmp_path, names, words, advice):
    root = files(tmp_path / "set", *names)
    root.mkdir(exist_ok=True)
    with pytest.raises(RunError, match=words) as error:
        read(Source(), root)
    assert error.value.kind == "data" and str(root) in error.value.message
    assert re.search(advice, error.value.advice)


def test_missing_folder_and_a_file_instead(tmp_path):
    with pytest.raises(RunError, match="there is no folder .*nowhere"):
        read(Source(root="nowhere"), tmp_path)
    (tmp_path / "labels.csv").write_text("image,label\n")
    with pytest.raises(RunError, match="labels.csv is a file") as error:
        read(Source(root="labels.csv"), tmp_path)
    assert "source.kind to csv" in error.value.advice


@pytest.mark.parametrize(
    ("expression", "patients"),
    [
        (r"patient(\d+)", ["007", "12", None]),
        (r"patient\d+", ["patient007", "patient12", None]),
        (r"^[ab]/([^/_]+)", ["patient007", "patient12", "x"]),
        (r"t(00\d)|/(x)_", ["007", None, "x"]),
        (r"^(a)/|^b/()", ["a", None, None]),
    ],
)
def test_patients_from_paths(tmp_path, expression, patients):
    root = files(tmp_path / "patient99", "a/patient007_1.png", "b/patient12/1.png", "b/x_1.png")
    found = read(Source(patient=expression), root)
    assert found.names == ["a/patient007_1.png", "b/patient12/1.png", "b/x_1.png"]
    assert found.patients == patients


@pytest.mark.parametrize(
    ("expression", "kind", "words"),
    [
        (r"patient(\d+", "config", r"source.patient, 'patient\(\\d\+', is no regular expression"),
        ("*", "config", r"'\*', is no regular expression"),
        (r"case(\d+)", "data", r"'case\(\\d\+\)', finds no patient in any of 2 paths .* such as a/1.png"),
        ("", "data", "finds no patient"),
        ("dicom", "data", "none of 2 files .* is a DICOM file with a PatientID"),
    ],
)
def test_patients_that_cannot_be_found(tmp_path, expression, kind, words):
    with pytest.raises(RunError, match=words) as error:
        read(Source(patient=expression), files(tmp_path, "a/1.png", "b/1.png"))
    assert error.value.kind == kind and error.value.advice


def test_patients_from_dicom_headers(tmp_path):
    whole = tmp_path / "a/1.dcm"
    dicom(whole, "P 1 "), dicom(tmp_path / "a/IM2", "P 1"), dicom(tmp_path / "b/3", "日本")
    dicom(tmp_path / "b/4.dcm", None), dicom(tmp_path / "b/5.dcm", " "), picture(tmp_path / "b/6.png")
    (tmp_path / "b/7.dcm").write_bytes(whole.read_bytes()[:140] + b"\xff" * 40)
    (tmp_path / "b/8.dcm").symlink_to("nowhere")
    found = read(Source(patient="dicom"), tmp_path)
    assert len(found.images) == 8
    assert found.patients == ["P 1", "P 1", "日本", *[None] * 5]


def test_patients_of_dicom_files_without_their_preamble(tmp_path):
    dicom(tmp_path / "a/1.dcm", "P1"), dicom(tmp_path / "b/2.dcm", "P1"), dicom(tmp_path / "b/3.dcm", "P1")
    for name, implicit, little in [("b/2.dcm", True, True), ("b/3.dcm", False, False)]:
        header = pydicom.dcmread(tmp_path / name)
        header.remove_private_tags()
        del header.file_meta
        header.preamble = None
        pydicom.dcmwrite(tmp_path / name, header, implicit_vr=implicit, little_endian=little, force_encoding=True)
        assert b"DICM" not in (tmp_path / name).read_bytes()
    assert read(Source(patient="dicom"), tmp_path).patients == ["P1"] * 3


def refuse_to_open(monkeypatch, refused: Path, code: int) -> None:
    """Whatever opens the file is told so by the system."""
    whole = io.open

    def opened(path, *args, **kwargs):
        if os.fspath(path) == str(refused):
            raise OSError(code, os.strerror(code), str(refused))
        return whole(path, *args, **kwargs)

    monkeypatch.setattr(io, "open", opened)
    monkeypatch.setattr("builtins.open", opened)


@pytest.mark.parametrize("code", [errno.EACCES, errno.EPERM, errno.ENOENT, errno.EISDIR, errno.ELOOP])
def test_patient_of_a_file_that_cannot_be_opened_is_unknown(tmp_path, monkeypatch, code):
    dicom(tmp_path / "a/1.dcm", "P1"), dicom(tmp_path / "b/2.dcm", "P1")
    refuse_to_open(monkeypatch, tmp_path / "b/2.dcm", code)
    assert read(Source(patient="dicom"), tmp_path).patients == ["P1", None]


@pytest.mark.parametrize("code", [errno.ESTALE, errno.EIO, errno.EMFILE, errno.ETIMEDOUT])
def test_patients_do_not_depend_on_the_moods_of_the_disk(tmp_path, monkeypatch, code):
    dicom(tmp_path / "a/1.dcm", "P1"), dicom(tmp_path / "b/2.dcm", "P1")
    refuse_to_open(monkeypatch, tmp_path / "b/2.dcm", code)
    with pytest.raises(OSError) as error:
        read(Source(patient="dicom"), tmp_path)
    assert error.value.errno == code


@pytest.mark.parametrize("place", ["", "train/", "test/"])
def test_images_beside_the_class_folders_are_not_left_out_in_silence(tmp_path, place):
    split = ["train/", "test/"] if place else [""]
    files(tmp_path, *(f"{part}{name}/{number}.png" for part in split for name in "ab" for number in range(2)))
    files(tmp_path, f"{place}README.txt")
    assert len(read(Source(), tmp_path).images) == 4 * len(split)
    files(tmp_path, f"{place}loose.PNG")
    with pytest.raises(RunError, match="holds 1 images beside the folders of its classes, such as loose.PNG"):
        read(Source(), tmp_path)
