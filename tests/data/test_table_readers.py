from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas
import pyarrow
import pyarrow.parquet
import pytest

from noisewise.data.readers import read
from noisewise.data.table import Table
from noisewise.errors import RunError
from noisewise.runs.config import Source


@pytest.fixture
def data(tmp_path) -> Path:
    """A folder with six files for tables to list; what is in them, no reader looks at."""
    for name in ("1.png", "2.png", "3.png", "4.png", "img/1.png", "img/2.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    return tmp_path


def from_csv(data: Path, text: str, **columns) -> Table:
    (data / "t.csv").write_text(text, encoding="utf-8")
    return read(Source("csv", "t.csv", **columns), data)


def from_parquet(data: Path, values, **columns) -> Table:
    pyarrow.parquet.write_table(values if isinstance(values, pyarrow.Table) else pyarrow.table(values), data / "t.pq")
    return read(Source("parquet", "t.pq", **columns), data)


def from_either(kind: str, data: Path, values: dict[str, list], **columns) -> Table:
    """A table of texts written as CSV (by pandas) or Parquet, None where there is no value, and read again."""
    if kind == "parquet":
        return from_parquet(data, values, **columns)
    return from_csv(data, pandas.DataFrame(values).to_csv(index=False), **columns)


def names(table: Table, numbers: np.ndarray) -> list[str]:
    return [table.classes[number] for number in numbers]


either = pytest.mark.parametrize("kind", ["csv", "parquet"])
IMAGES = ["1.png", "2.png", "3.png", "4.png"]


@either
def test_columns_by_their_names(data, kind):
    values = {
        "Plane": ["b", " a", "b"],
        "file": ["img/2.png", "3.png", str(data / "img/1.png")],
        "who": ["p1", "p2 ", "p1"],
        "Train": ["train", "TEST", "valid"],
        "unused": [None, "x", None],
    }
    found = from_either(kind, data, values, image="file", label="Plane", split="Train", patient="who")
    assert found.relative_paths() == ["3.png", "img/1.png", "img/2.png"]
    assert found.classes == ["a", "b"] and found.labels.tolist() == [0, 1, 1] and found.labels.dtype == np.int64
    assert found.patients == ["p2", "p1", "p1"] and found.split == ["test", "val", "train"]
    assert found.given.tolist() == found.labels.tolist()


@either
def test_clean_labels_stand_beside_the_given_ones(data, kind):
    values = {"image": IMAGES, "label": ["a", "b", "a", "c"], "truth": ["a", "a", "d", "d"]}
    found = from_either(kind, data, values, clean_label="truth")
    assert found.classes == ["a", "b", "c", "d"]
    assert names(found, found.labels) == values["truth"] and names(found, found.given) == values["label"]
    assert from_either(kind, data, values).classes == ["a", "b", "c"]


@either
def test_patients_may_be_unknown(data, kind):
    values = {"image": IMAGES, "label": list("abab"), "who": ["p1", None, " ", "p1"]}
    assert from_either(kind, data, values, patient="who").patients == ["p1", None, None, "p1"]
    assert from_either(kind, data, {**values, "who": [None] * 4}, patient="who").patients is None


@either
def test_classes_with_commas_and_bars_that_are_single_labels(data, kind):
    labels = ["Psoriasis, plaque", "Psoriasis", "Eczema, other | rare", "mono;poly"]
    assert from_either(kind, data, {"image": IMAGES, "label": labels}).classes == sorted(labels)


@either
@pytest.mark.parametrize("cell", ["Mass|Effusion", "Effusion | Oedema", "Effusion;Mass", "Mass, Effusion", "Mass,Mass"])
@pytest.mark.parametrize("column", ["label", "clean_label"])
def test_several_labels_in_one_cell_are_refused(data, kind, cell, column):
    values = {"image": IMAGES, "label": ["Mass", "Effusion"] * 2, "clean_label": ["Mass", "Effusion"] * 2}
    values[column] = ["Mass", "Effusion", cell, "None"]
    with pytest.raises(RunError, match="several labels in one cell.*multi-label") as error:
        from_either(kind, data, values, clean_label="clean_label")
    row = 4 if kind == "csv" else 3
    assert f"row {row}: '{cell}'" in error.value.message and error.value.kind == "data"


@either
@pytest.mark.parametrize("column", ["image", "label", "clean_label", "split"])
@pytest.mark.parametrize("empty", [None, " "])
def test_empty_cell_is_named_with_its_row(data, kind, column, empty):
    values = {"image": IMAGES, "label": list("abab"), "clean_label": list("abab"), "split": ["train"] * 4}
    values[column] = [*values[column][:2], empty, values[column][3]]
    with pytest.raises(RunError, match=f"row {4 if kind == 'csv' else 3}: the column '{column}' is empty") as error:
        from_either(kind, data, values, clean_label="clean_label", split="split")
    assert error.value.advice.startswith("Fill it in")


@either
@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"image": ["1.png", "9.png", "img", "x\0"]}, r"lists 3 images that are not there: .*9.png \(row \d\)"),
        ({"image": ["~/1.png", "2.png", "3.png", "n" * 5000]}, "lists 2 images that are not there"),
        ({"image": ["1.png", "2.png", "3.png", "1.png"]}, "1.png 2 times"),
        ({"label": ["a"] * 4}, "all 4 images .* one class, 'a'"),
        ({"label": ["a", "b", "A", "b"]}, "classes 'A' and 'a'"),
        ({"label": ["a", "b", "a\n2.png,b", "b"]}, "column 'label' holds several lines"),
        ({"part": ["train", "holdout", "test", "test"]}, r"row \d: split 'holdout' is none of train, val or test"),
        ({"image": [], "label": [], "part": []}, "has no rows"),
    ],
)
def test_tables_that_are_wrong(data, kind, changes, words):
    values = {"image": IMAGES, "label": list("abab"), "part": ["train"] * 4, **changes}
    with pytest.raises(RunError, match=words) as error:
        from_either(kind, data, values, split="part")
    assert error.value.kind == "data" and "t." in error.value.message and error.value.advice


@either
@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ({"label": "labels"}, r"no column 'labels'. Did you mean 'label'\? It has: image, label$"),
        ({"patient": "who"}, "no column 'who'"),
        ({"image": ""}, "no column ''"),
    ],
)
def test_columns_that_are_not_there(data, kind, columns, words):
    with pytest.raises(RunError, match=words) as error:
        from_either(kind, data, {"image": IMAGES, "label": list("abab")}, **columns)
    assert f"source.{next(iter(columns))} to a column" in error.value.advice


@either
@pytest.mark.parametrize("name", ["../{}/1.png", "./1.png", "img/../1.png", "{}//1.png"])
def test_one_file_spelled_two_ways_is_listed_twice(data, kind, name):
    values = {"image": ["1.png", name.format(data if name.startswith("{") else data.name)], "label": ["a", "b"]}
    with pytest.raises(RunError, match="1.png 2 times") as error:
        from_either(kind, data, values)
    assert error.value.kind == "data"


@either
def test_hostile_file_names(data, kind):
    images = ["it's.png", 'say "so".png', "a,b;c.png", "日本 語.png", "%s{}.png", "A.png", "a.png"]
    for name in images:
        (data / name).write_bytes(b"")
    found = from_either(kind, data, {"image": images, "label": list("abababa")})
    assert found.relative_paths() == sorted(images) and all(path.is_file() for path in found.images)


@either
def test_missing_table(data, kind):
    with pytest.raises(RunError, match="there is no table .*nowhere") as error:
        read(Source(kind, "nowhere"), data)
    assert error.value.kind == "data"


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_csv_dialects_are_read_as_pandas_reads_them(data, separator):
    """With a byte-order mark, Windows line ends, quotes, blanks and empty lines."""
    rows = [
        ["Train ", " file", "Plane"],
        ["train", "img/1.png", f'"big, {separator} ""odd"" one"'],
        ["test", ' "1.png"', "a"],
        ["val", "2.png", "5' 3\" tall"],
    ]
    text = "\ufeff" + "\r\n".join(separator.join(row) for row in rows) + "\r\n\r\n"
    found = from_csv(data, text, image="file", label="Plane", split="Train")
    expected = pandas.read_csv(data / "t.csv", sep=separator, skipinitialspace=True, encoding="utf-8-sig")
    expected = expected.rename(columns=str.strip).set_index("file").loc[found.relative_paths()]
    assert names(found, found.labels) == expected["Plane"].tolist()
    assert found.split == expected["Train"].tolist()


@pytest.mark.parametrize("encoding", ["latin-1", "utf-16"])
def test_csv_that_is_not_utf_8(data, encoding):
    (data / "t.csv").write_bytes("image,label\n1.png,Gesäß\n".encode(encoding))
    with pytest.raises(RunError, match="t.csv is not UTF-8") as error:
        read(Source("csv", "t.csv"), data)
    assert error.value.kind == "data" and error.value.advice.startswith("Save it as UTF-8")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "has no rows"),
        ("image,label\n", "has no rows"),
        ("image,label\n1.png,a\n2.png,b,c\n", "row 3: 3 values for 2 columns"),
        ("image,label\n1.png,a\n2.png\n", "row 3: 1 values for 2 columns"),
        ("image,label,label\n1.png,a,b\n", "more than one column 'label'"),
        ('image,label\n1.png,a\n2.png,"b\n3.png,c\n', "row 4: unexpected end of data"),
        ('image,label\n1.png,"a"b\n', "row 2: ',' expected after '\"'"),
        ('image,label\n1.png,"a\n2.png,b"\n', "row 3: the column 'label' holds several lines"),
        pytest.param('image,label\n1.png,"a\n' + "2.png,b\n" * 20_000, "row .*: field larger", id="open quote"),
    ],
)
def test_csv_that_is_wrong(data, text, words):
    with pytest.raises(RunError, match=words) as error:
        from_csv(data, text)
    assert error.value.kind == "data" and "t.csv" in error.value.message


@pytest.mark.parametrize(
    ("labels", "patients", "classes", "people"),
    [
        (pyarrow.array([3, 10, 3]), pyarrow.array([7, None, 7]), ["3", "10"], ["7", None, "7"]),
        (
            pyarrow.array([0.0, 1.0, 0.5]),
            pyarrow.array([7.0, float("nan"), 7.5]),
            ["0", "0.5", "1"],
            ["7", None, "7.5"],
        ),
        (pyarrow.array(["x", "y", "x"]).dictionary_encode(), pyarrow.nulls(3), ["x", "y"], None),
        (pyarrow.array([True, False, True]), pyarrow.array(["007", "", None]), ["False", "True"], ["007", None, None]),
        (
            pyarrow.array(["b", "a", "a"], pyarrow.large_string()),
            pyarrow.array([1, None, 2]).cast(pyarrow.decimal128(38, 2)),
            ["a", "b"],
            ["1", None, "2"],
        ),
        (pyarrow.array([2**63, 1, 2], pyarrow.uint64()), pyarrow.nulls(3), ["1", "2", str(2**63)], None),
    ],
)
def test_parquet_values_become_the_text_a_person_would_write(data, labels, patients, classes, people):
    found = from_parquet(data, {"image": IMAGES[:3], "label": labels, "who": patients}, patient="who")
    assert found.classes == classes and found.patients == people


def test_parquet_from_pandas_with_missing_numbers(data):
    """What pandas makes of whole numbers with gaps, with either of its types."""
    frame = pandas.DataFrame({"image": IMAGES, "label": [3, 4, 3, 4], "who": [3, None, 3, 12]})
    for column in (frame["who"], frame["who"].astype("Int64")):
        frame.assign(who=column).to_parquet(data / "t.pq", index=False)
        found = read(Source("parquet", "t.pq", patient="who"), data)
        assert found.classes == ["3", "4"] and found.patients == ["3", None, "3", "12"]


def test_parquet_columns_that_are_not_named_are_not_read(data, monkeypatch):
    read_columns, asked = pyarrow.parquet.ParquetFile.read, []

    def listen(file, columns=None, **options):
        asked.append(columns)
        return read_columns(file, columns=columns, **options)

    monkeypatch.setattr(pyarrow.parquet.ParquetFile, "read", listen)
    found = from_parquet(data, {"image": IMAGES, "label": list("abab"), "pixels": [[b"x"]] * 4})
    assert len(found.images) == 4 and asked == [["image", "label"]]


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        (pyarrow.array([["a"], ["a", "b"], [], ["b"]]), r"'label' holds lists \(list<.*multi-label"),
        (pyarrow.array([[0, 1], [1, 0], [1, 1], [0, 0]], pyarrow.list_(pyarrow.int8(), 2)), "holds lists"),
        (pyarrow.array([{"x": 1}] * 4), "'label' holds struct<.*, not texts or numbers"),
        (pyarrow.array([b"a", b"b"] * 2), "'label' holds binary, not texts"),
    ],
)
def test_parquet_columns_of_other_types(data, labels, words):
    with pytest.raises(RunError, match=words) as error:
        from_parquet(data, {"image": IMAGES, "label": labels})
    assert error.value.kind == "data" and error.value.advice


def test_parquet_with_two_like_columns(data):
    twice = pyarrow.Table.from_arrays(
        [pyarrow.array(IMAGES)] + [pyarrow.array(list("abab"))] * 2, ["image", "label", "label"]
    )
    with pytest.raises(RunError, match="more than one column 'label'"):
        from_parquet(data, twice)


@pytest.mark.parametrize("damage", ["no parquet", "cut short", "empty", "bytes changed"])
def test_parquet_that_is_damaged(data, damage):
    path = data / "t.pq"
    pyarrow.parquet.write_table(pyarrow.table({"image": IMAGES, "label": list("abab")}), path, compression="gzip")
    whole = path.read_bytes()
    changed = whole[:4] + bytes(byte ^ 0x55 for byte in whole[4:200]) + whole[200:]
    path.write_bytes({"no parquet": b"image,label\n", "cut short": whole[:-20], "empty": b""}.get(damage, changed))
    with pytest.raises(RunError, match="t.pq is not a whole Parquet file: .") as error:
        read(Source("parquet", "t.pq"), data)
    assert error.value.kind == "data" and "\n" not in error.value.message


def test_pyarrow_and_pydicom_are_imported_only_when_needed(data):
    (data / "t.csv").write_text("image,label\n1.png,a\n2.png,b\n")
    code = (
        "import sys; from pathlib import Path; from noisewise.data.readers import read\n"
        "from noisewise.runs.config import Source\n"
        "read(Source('csv', 't.csv'), Path(sys.argv[1]))\n"
        "print([name for name in ('pyarrow', 'pydicom', 'pandas', 'torch') if name in sys.modules])"
    )
    found = subprocess.run(
        [sys.executable, "-c", code, data], env=os.environ, capture_output=True, text=True, check=True
    )
    assert found.stdout == "[]\n"
