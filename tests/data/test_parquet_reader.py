"""What only Parquet files have: types. What they share with CSV is in test_table_readers.py."""

from __future__ import annotations

import random
from pathlib import Path

import pandas
import pyarrow
import pyarrow.parquet
import pytest

from noisewise.data.readers import read
from noisewise.data.table import Table
from noisewise.errors import RunError
from noisewise.runs.config import Source

IMAGES = ["1.png", "2.png", "3.png", "4.png"]


@pytest.fixture
def data(tmp_path) -> Path:
    """A folder with the images that the tables list."""
    for name in IMAGES:
        (tmp_path / name).write_bytes(b"")
    return tmp_path


def written(data: Path, values, **columns) -> Table:
    """A Parquet file with these columns, read again."""
    pyarrow.parquet.write_table(values if isinstance(values, pyarrow.Table) else pyarrow.table(values), data / "t.pq")
    return read(Source("parquet", "t.pq", **columns), data)


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
    found = written(data, {"image": IMAGES[:3], "label": labels, "who": patients}, patient="who")
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
    found = written(data, {"image": IMAGES, "label": list("abab"), "pixels": [[b"x"]] * 4})
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
        written(data, {"image": IMAGES, "label": labels})
    assert error.value.kind == "data" and error.value.advice


def test_parquet_with_two_like_columns(data):
    twice = pyarrow.Table.from_arrays(
        [pyarrow.array(IMAGES)] + [pyarrow.array(list("abab"))] * 2, ["image", "label", "label"]
    )
    with pytest.raises(RunError, match="more than one column 'label'"):
        written(data, twice)


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


def test_parquet_with_any_byte_changed_is_read_or_refused(data):
    """Bytes at random places of a small file, most of which is its header."""
    outcomes, rng = set(), random.Random(0)
    written(data, {"image": IMAGES, "label": list("abab")})
    whole = (data / "t.pq").read_bytes()
    for _ in range(300):
        content = bytearray(whole)
        content[rng.randrange(len(content))] = rng.randrange(256)
        (data / "t.pq").write_bytes(content)
        try:
            outcomes.add(len(read(Source("parquet", "t.pq"), data).images))
        except RunError as error:
            outcomes.add(error.kind)
    assert "data" in outcomes and outcomes <= {"data", 4}
