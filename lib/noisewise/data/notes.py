"""What looks wrong with a dataset, a sentence each, once its images have been read."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from noisewise.data.table import Table

DARK = 0.25  # images of more than 8 bits that all stay below this share of white are probably not read as they should
NOT_OF_PATIENTS = ("elpv", "fashion_mnist")  # kinds of source whose images are of things


def groups_alike(digests: Sequence[str | None]) -> list[list[int]]:
    """The rows of each content that stands there more than once, in order of their first row; None is no content."""
    alike = defaultdict(list)
    for row, digest in enumerate(digests):
        if digest is not None:
            alike[digest].append(row)
    return [rows for rows in alike.values() if len(rows) > 1]


def of_copies(names: Sequence[str], groups: Sequence[Sequence[int]], split: np.ndarray, given: np.ndarray) -> list[str]:
    """Files with the same content: in two splits they leak, under two labels one of the labels is wrong.

    groups: as from `groups_alike`. split, given: [n], the split and the given label of each file.
    """
    sentences = []
    for values, where, why in (
        (split, "in another split", "scores on them say nothing about unseen images"),
        (given, "under another label", "at least one of their labels is wrong"),
    ):
        across = [rows for rows in groups if len(set(values[rows].tolist())) > 1]
        if not across:
            continue
        files = sum(map(len, across))
        first = across[0]
        other = next(row for row in first if values[row] != values[first[0]])
        sentences.append(f"{files:,} files have a copy {where}, such as {names[first[0]]} and {names[other]}: {why}")
    return sentences


def of_patients(table: Table, kind: str) -> list[str]:
    """That images of one patient may be in two splits, where a split was cut without knowing whose they are.

    kind: of the source.
    """
    if kind in NOT_OF_PATIENTS or (table.split is not None and {"val", "test"} <= set(table.split)):
        return []
    count = len(table.images)
    unknown = count if table.patients is None else sum(patient is None for patient in table.patients)
    if not unknown:
        return []
    whose = "whose images these are" if unknown == count else f"whose {unknown:,} of the {count:,} images are"
    return [f"it is not known {whose}: images of one patient may be in two splits"]


def of_labels(table: Table) -> list[str]:
    """How many given labels are wrong, where the true ones are known too."""
    wrong = np.count_nonzero(table.given != table.labels)
    return [f"{wrong:,} of the {len(table.labels):,} given labels are not the clean ones"] if wrong else []


def of_brightness(peaks: Sequence[float | None]) -> list[str]:
    """That all images of more than 8 bits are dark. peaks: as `images.Decoded` has them."""
    peaks = [peak for peak in peaks if peak is not None]
    if not peaks or max(peaks) >= DARK:
        return []
    return [
        f"all {len(peaks):,} images of more than 8 bits are dark, the brightest reaches {max(peaks):.1%} of white: set "
        'the dataset\'s intensity, for instance to "0:4095" for 12 bits, or to stretch'
    ]


def of_size(sides: Sequence[int], size: int) -> list[str]:
    """That a pack of `size` pixels a side is larger than any of its images. sides: the longer one of each image."""
    most = max(sides)
    return (
        [f"the largest image has {most} pixels a side, so that size={size} adds none: set size"] if most < size else []
    )
