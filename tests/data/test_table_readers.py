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
    """A folder with six files for tables to list, empty ones: no reader of tables opens them."""
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
    assert found.names == ["3.png", "img/1.png", "img/2.png"]
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
        ({"image": ["8.png", "9.png", "img", "x\0"]}, r"lists 4 images, and none of them is there: .*8.png \(row \d\)"),
        ({"image": ["~/1.png", "7.png", "8.png", "n" * 5000]}, "none of them is there"),
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
    assert found.names == sorted(images) and all(path.is_file() for path in found.images)


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
    expected = expected.rename(columns=str.strip).set_index("file").loc[found.names]
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


@either
def test_a_column_that_is_no_label(data, kind):
    values = {"image": [f"{number}.png" for number in range(1, 61)], "label": [f"{number / 7}" for number in range(60)]}
    (data / "1.png").touch()
    with pytest.raises(RunError, match="60 classes in 60 images, such as") as error:
        from_either(kind, data, values)
    assert "label column" in error.value.advice


def test_one_kind_of_table_taken_for_the_other(data):
    from_parquet(data, {"image": IMAGES, "label": list("abab")})
    with pytest.raises(RunError, match="t.pq is a Parquet file") as error:
        read(Source("csv", "t.pq"), data)
    assert "source.kind to parquet" in error.value.advice
