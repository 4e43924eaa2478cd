from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from noisewise.data.readers import KINDS, read
from noisewise.errors import RunError, UserError
from noisewise.grid.names import READERS, reader_exists
from noisewise.runs.config import Source


def picture(path: Path) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (4, 4)).save(path)
    return path.name


def table(path: Path, text: str) -> Source:
    path.write_text(text)
    return Source("csv", path.name)


def test_folder_of_classes(tmp_path):
    for name in ("b/2.png", "a/10.jpg", "b/1.tif", "a/deep/3.bmp"):
        picture(tmp_path / "set" / name)
    (tmp_path / "set/a/.hidden").write_text("")
    (tmp_path / "set/a/Thumbs.db").write_text("")
    (tmp_path / "set/readme.txt").write_text("not in a class")
    found = read(Source(root="set"), tmp_path)
    assert found.classes == ["a", "b"]
    assert found.relative_paths() == ["a/10.jpg", "a/deep/3.bmp", "b/1.tif", "b/2.png"]
    assert found.labels.tolist() == [0, 0, 1, 1] and found.labels.dtype == np.int64
    assert found.patients is None and found.split is None


def test_folder_with_official_splits(tmp_path):
    for name in ("Train/a/1.png", "Train/b/2.png", "valid/a/3.png", "valid/b/4.png", "test/a/5.png", "test/b/6.png"):
        picture(tmp_path / name)
    found = read(Source(), tmp_path)
    assert dict(zip(found.relative_paths(), found.split, strict=True)) == {
        "Train/a/1.png": "train",
        "Train/b/2.png": "train",
        "valid/a/3.png": "val",
        "valid/b/4.png": "val",
        "test/a/5.png": "test",
        "test/b/6.png": "test",
    }


def test_numbered_classes_are_in_the_order_of_numbers(tmp_path):
    for name in ("10/a.png", "9/b.png", "1/c.png"):
        picture(tmp_path / name)
    assert read(Source(), tmp_path).classes == ["1", "9", "10"]


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ([], "holds no images"),
        (["a/1.png"], "are of one class, 'a'"),
        (["a/1.png", "b/2.npy.png"], "1 of .npy"),
        (["train/a/1.png", "other/a/1.png"], "'other' should be one of train, val or test"),
    ],
)
def test_folder_that_is_no_dataset(tmp_path, files, words):
    for name in files:
        picture(tmp_path / name)
        (tmp_path / name).rename(tmp_path / name.replace("npy.png", "npy"))
    with pytest.raises(RunError, match=words) as error:
        read(Source(), tmp_path)
    assert error.value.kind == "data" and str(tmp_path) in error.value.message and error.value.advice


def test_missing_and_empty_folders(tmp_path):
    with pytest.raises(RunError, match="there is no folder .*nowhere"):
        read(Source(root="nowhere"), tmp_path)
    (tmp_path / "a").mkdir()
    with pytest.raises(RunError, match="class folder .* is empty"):
        read(Source(), tmp_path)


def test_every_reader_may_stand_in_a_grid():
    assert set(KINDS) <= set(READERS)
    assert {kind for kind in READERS if reader_exists(kind)} == set(KINDS)


def test_unknown_kind_names_the_nearest(tmp_path):
    with pytest.raises(UserError, match="unknown source kind 'foldr'. Did you mean 'folder'?"):
        read(Source("foldr"), tmp_path)


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_csv(tmp_path, separator):
    for name in ("img/1.png", "img/2.png", "3.png"):
        picture(tmp_path / name)
    rows = [
        ["Plane", "file", "who", "Train "],
        ["b", "img/2.png", "p1", "train"],
        ["a", "3.png", "p2", "TEST"],
        ["b", "img/1.png", "p1", "valid"],
    ]
    table(tmp_path / "t.csv", "\ufeff" + "\r\n".join(separator.join(row) for row in rows) + "\n\n")
    found = read(Source("csv", "t.csv", image="file", label="Plane", split="Train", patient="who"), tmp_path)
    assert [path.name for path in found.images] == ["3.png", "1.png", "2.png"]
    assert found.classes == ["a", "b"] and found.labels.tolist() == [0, 1, 1]
    assert found.patients == ["p2", "p1", "p1"] and found.split == ["test", "val", "train"]


def test_csv_takes_clean_labels_where_there_are_some(tmp_path):
    names = [picture(tmp_path / f"{number}.png") for number in range(2)]
    source = table(tmp_path / "t.csv", f"image,label,truth\n{names[0]},a,a\n{names[1]},a,b\n")
    found = read(Source("csv", source.root, clean_label="truth"), tmp_path)
    assert found.classes == ["a", "b"] and found.labels.tolist() == [0, 1]


def test_csv_without_some_patients(tmp_path):
    names = [picture(tmp_path / f"{number}.png") for number in range(4)]
    rows = zip(names, "abab", ("p1", "", " ", "p1"), strict=True)
    text = "image,label,who\n" + "\n".join(",".join(row) for row in rows)
    table(tmp_path / "t.csv", text)
    source = Source("csv", "t.csv", patient="who")
    assert read(source, tmp_path).patients == ["p1", None, None, "p1"]
    table(tmp_path / "t.csv", text.replace("p1", ""))
    assert read(source, tmp_path).patients is None


@pytest.mark.parametrize("name", ["../{}/1.png", "./1.png", "deep/../1.png"])
def test_one_file_spelled_two_ways_is_listed_twice(tmp_path, name):
    picture(tmp_path / "1.png"), (tmp_path / "deep").mkdir()
    source = table(tmp_path / "t.csv", f"image,label\n1.png,a\n{name.format(tmp_path.name)},b\n")
    with pytest.raises(RunError, match="1.png 2 times") as error:
        read(source, tmp_path)
    assert error.value.kind == "data"


@pytest.mark.parametrize("encoding", ["latin-1", "utf-16"])
def test_csv_that_is_not_utf_8(tmp_path, encoding):
    (tmp_path / "t.csv").write_bytes("image,label\n1.png,Gesäß\n".encode(encoding))
    with pytest.raises(RunError, match="t.csv is not UTF-8") as error:
        read(Source("csv", "t.csv"), tmp_path)
    assert error.value.kind == "data" and error.value.advice.startswith("Save it as UTF-8")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "has no rows"),
        ("image,label\n", "has no rows"),
        ("image,labels\n1.png,a\n", "has no column 'label'. Did you mean 'labels'.*It has: image, labels"),
        ("image,label\n1.png,a\n9.png,b\n", r"1 images that are not there: .*9.png \(row 3\)"),
        ("image,label\n1.png,a\n2.png,a\n", "all 2 images .* one class, 'a'"),
        ("image,label\n1.png,a\n2.png,\n", "row 3: the column 'label' is empty"),
        ("image,label\n1.png,a\n2.png,b,c\n", "row 3: 3 values for 2 columns"),
        ("image,label\n1.png,a\n1.png,b\n", "1.png 2 times"),
        pytest.param('image,label\n1.png,"a\n' + "2.png,b\n" * 20_000, "row .*: field larger", id="open quote"),
    ],
)
def test_csv_that_is_wrong(tmp_path, text, words):
    picture(tmp_path / "1.png"), picture(tmp_path / "2.png")
    source = table(tmp_path / "t.csv", text)
    with pytest.raises(RunError, match=words) as error:
        read(source, tmp_path)
    assert error.value.kind == "data" and "t.csv" in error.value.message


def test_csv_with_an_odd_split(tmp_path):
    picture(tmp_path / "1.png")
    table(tmp_path / "t.csv", "image,label,part\n1.png,a,holdout\n")
    with pytest.raises(RunError, match="row 2: split 'holdout'"):
        read(Source("csv", "t.csv", split="part"), tmp_path)


def test_elpv_has_the_published_counts(tmp_path):
    found = read(Source("elpv"), tmp_path)
    assert len(found.images) == 2624 and all(path.is_file() for path in found.images[::500])
    probability = np.genfromtxt(found.images[0].parent.parent / "labels.csv", usecols=1)
    defective = np.isin(found.labels, [found.classes.index(f"{crystal}-defective") for crystal in ("mono", "poly")])
    assert defective.sum() == (probability > 0.6).sum() == 106 + 715


def test_elpv_row_that_is_damaged(tmp_path):
    (tmp_path / "labels.csv").write_text("images/cell0001.png 1.0 mono\nimages/cell0002.png one mono\n")
    with pytest.raises(RunError, match="labels.csv, row 2: expected an image"):
        read(Source("elpv", str(tmp_path)), tmp_path)
