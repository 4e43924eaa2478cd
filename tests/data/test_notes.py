"""What is said about a dataset that looks wrong."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from noisewise.data import notes
from noisewise.data.table import Row, Table


def table(patients: list[str | None], splits: list[str | None], clean: str | None = None) -> Table:
    rows = [
        Row(Path(f"/set/{number}.png"), "ab"[number % 2], patient, split, clean and clean[number])
        for number, (patient, split) in enumerate(zip(patients, splits, strict=True))
    ]
    return Table.of(rows, Path("/set"))


@pytest.mark.parametrize(
    ("patients", "splits", "said"),
    [
        ([None] * 4, [None] * 4, "it is not known whose images these are: "),
        (["p", None, "q", None], [None] * 4, "it is not known whose 2 of the 4 images are: "),
        (["p", "p", "q", "r"], [None] * 4, ""),
        ([None] * 4, ["train", "train", "test", "test"], "it is not known whose images these are: "),
        ([None] * 4, ["train", "val", "test", "train"], ""),
    ],
)
def test_patients_that_a_cut_may_part(patients, splits, said):
    found = notes.of_patients(table(patients, splits), "folder")
    assert [note.partition("images of one")[0] for note in found] == ([said] if said else [])
    assert notes.of_patients(table(patients, splits), "elpv") == []


def test_given_labels_that_are_wrong_are_counted():
    assert notes.of_labels(table([None] * 4, [None] * 4, "abba")) == ["2 of the 4 given labels are not the clean ones"]
    assert notes.of_labels(table([None] * 4, [None] * 4, "abab")) == []


def test_copies_are_grouped_by_content_in_the_order_of_rows():
    assert notes.groups_alike(["x", None, "y", "x", "z", None, "y", "y"]) == [[0, 3], [2, 6, 7]]


def test_copies_are_told_of_where_they_matter():
    split, given = np.array(["train", "train", "test", "val"]), np.array([0, 0, 1, 1])
    assert notes.of_copies("abcd", [[0, 1], [2, 3]], np.array(["train"] * 4), given) == []
    leak, doubt = notes.of_copies("abcd", [[0, 2], [2, 3]], split, given)
    assert leak.startswith("4 files have a copy in another split, such as a and c:")
    assert doubt.startswith("2 files have a copy under another label, such as a and c:")


def test_only_images_that_are_all_dark_are_told_of():
    assert notes.of_brightness([None, None]) == notes.of_brightness([0.1, 0.25]) == []
    assert notes.of_brightness([None, 0.1, 0.2])[0].startswith("all 2 images of more than 8 bits are dark")
