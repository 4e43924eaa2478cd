"""audit.csv: the most doubtful label first, by the name of the user's own file."""

from __future__ import annotations

import numpy as np
import pytest

from noisewise.audit.rank import rank_labels
from noisewise.audit.table import read_table, write_table
from noisewise.errors import RunError

NAMES = ["cats/0.png", "cats/a, b.png", "dogs/\u00e4.png", "dogs/3.png"]
INDEX, GIVEN = np.array([0, 2, 3]), np.array([0, 1, 1])


def write(path, clean=None):
    ranking = rank_labels(np.array([[0.8, 0.2], [0.9, 0.1], [0.4, 0.6]]), GIVEN)
    write_table(path, ranking, INDEX, GIVEN, clean, NAMES, ["cats", "dogs"])
    return path


def test_what_is_written(tmp_path):
    text = write(tmp_path / "audit.csv").read_text(encoding="utf-8")
    assert text.splitlines() == [
        "rank,path,index,given,suggested,score",
        "1,dogs/\u00e4.png,2,dogs,cats,0.9000",
        "2,dogs/3.png,3,dogs,cats,0.4000",
        "3,cats/0.png,0,cats,dogs,0.2000",
    ]


def test_true_classes_are_told_where_they_are_known(tmp_path):
    rows = read_table(write(tmp_path / "audit.csv", clean=np.array([0, 0, 1])))
    assert [(row["index"], row["given"], row["true"]) for row in rows] == [
        ("2", "dogs", "cats"),
        ("3", "dogs", "dogs"),
        ("0", "cats", "cats"),
    ]


def test_a_file_that_is_no_audit_says_what_to_do(tmp_path):
    path = tmp_path / "audit.csv"
    with pytest.raises(RunError, match="has left no") as error:
        read_table(path)
    assert str(tmp_path) in error.value.advice
    for text in ("", "rank,path\n1,a\n", "rank,path,index,given,suggested,score\n1,cats/0.png,0\n"):
        path.write_text(text)
        with pytest.raises(RunError, match="damaged"):
            read_table(path)
