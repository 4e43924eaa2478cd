from __future__ import annotations

import unicodedata
from pathlib import Path

import numpy as np
import pytest

from noisewise.data.table import Row, Table
from noisewise.errors import RunError


def rows(*labels: str) -> list[Row]:
    return [Row(Path(f"/set/{number}.png"), label) for number, label in enumerate(labels)]


def test_labels_are_the_true_ones_and_classes_those_of_both_columns():
    found = Table.of([Row(Path("/b"), "x", clean_label="y"), Row(Path("/a"), "z", clean_label="x")], Path("/set"))
    assert found.classes == ["x", "y", "z"]
    assert [found.classes[label] for label in found.labels] == ["x", "y"]
    assert [found.classes[label] for label in found.given] == ["z", "x"]
    assert found.labels.dtype == found.given.dtype == np.int64


def test_given_labels_are_the_labels_where_no_others_are_known():
    found = Table.of(rows("b", "a", "b"), Path("/set"))
    assert found.labels.tolist() == found.given.tolist() == [1, 0, 1]
    assert found.patients is None and found.split is None and found.stream is None


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Benign", "benign"),
        ("tumour", "tumour "),
        (" tumour", "tumour"),
        ("Straße", "STRASSE"),
        ("1", "01"),
        ("2", "2.0"),
        (unicodedata.normalize("NFC", "naïve"), unicodedata.normalize("NFD", "naïve")),
    ],
)
def test_two_spellings_of_a_class_are_named(one, other):
    with pytest.raises(RunError) as error:
        Table.of(rows(one, "else", other), Path("/the/set"))
    assert error.value.kind == "data" and "/the/set" in error.value.message
    assert f"'{one}'" in error.value.message and f"'{other}'" in error.value.message


def test_two_spellings_in_two_columns_are_two_spellings():
    with pytest.raises(RunError, match="'Cat' and 'cat'"):
        Table.of([Row(Path("/a"), "Cat", clean_label="cat"), Row(Path("/b"), "dog", clean_label="dog")], Path("/set"))


def test_classes_that_only_look_alike_are_two():
    assert len(Table.of(rows("1", "11", "1.5", "a b", "ab", "1a", "1,5"), Path("/set")).classes) == 7


def test_files_whose_names_differ_in_case_are_two_images():
    found = Table.of([Row(Path("/set/A.png"), "a"), Row(Path("/set/a.png"), "b")], Path("/set"))
    assert found.names == ["A.png", "a.png"]


@pytest.mark.parametrize(
    ("found", "words"),
    [
        ([], "/set holds no images"),
        (rows("a", "a"), "all 2 images of /set are of one class, 'a'"),
        ([*rows("a"), *rows("b")], "/set lists /set/0.png 2 times"),
    ],
)
def test_rows_that_are_no_dataset(found, words):
    with pytest.raises(RunError, match=words) as error:
        Table.of(found, Path("/set"))
    assert error.value.kind == "data" and error.value.advice
