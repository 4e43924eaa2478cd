"""audit.csv: a row a training image, the most doubtful label first.

rank       from 1
path       of the image's file, from the dataset's folder; of an archive's member, its name
index      of the image in the pack, from 0
given      the class that it is labelled
suggested  the most probable class beside that
score      the probability that the label is wrong, in [0, 1]
true       its true class; the column is there only where some labels are known to be wrong
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from noisewise.audit.rank import Ranking
from noisewise.errors import RunError
from noisewise.runs.files import replacing

COLUMNS = ("rank", "path", "index", "given", "suggested", "score")
TRUE = "true"


def write_table(
    path: Path,
    ranking: Ranking,
    index: np.ndarray,
    given: np.ndarray,
    clean: np.ndarray | None,
    names: Sequence[str],
    classes: Sequence[str],
) -> None:
    """Write the CSV file in one step.

    index, given, clean: int [n], in the ranking's own order of images; clean is None where nobody knows.
    names: of all images of the pack. classes: their names.
    """
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(COLUMNS if clean is None else (*COLUMNS, TRUE))
    for rank, row in enumerate(ranking.order.tolist(), start=1):
        labels = [classes[given[row]], classes[ranking.suggested[row]]]
        more = [] if clean is None else [classes[clean[row]]]
        writer.writerow([rank, names[index[row]], index[row], *labels, f"{ranking.score[row]:.4f}", *more])
    with replacing(path, "wb") as file:
        file.write(buffer.getvalue().encode())


def read_table(path: Path, count: int | None = None) -> list[dict[str, str]]:
    """The first `count` rows, or all, as dictionaries by column.

    Raises:
        RunError: data; the file is not there, or is no audit.
    """
    advice = f"Remove the folder {path.parent} and type the command again: it is run anew."
    try:
        with open(path, newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))[:count]
    except FileNotFoundError:
        raise RunError("data", f"the run has left no {path}: an earlier version made it", advice) from None
    if not rows or set(COLUMNS) - set(rows[0]) or None in rows[-1].values():
        raise RunError("data", f"{path} is damaged: it has not the rows and columns of an audit", advice)
    return rows
