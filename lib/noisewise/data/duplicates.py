"""Files with the same content: in two splits they leak, under two labels one of the labels is wrong."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np


def groups_alike(digests: Sequence[str]) -> list[list[int]]:
    """The rows of each content that stands there more than once, in order of their first row."""
    alike = defaultdict(list)
    for row, digest in enumerate(digests):
        alike[digest].append(row)
    return [rows for rows in alike.values() if len(rows) > 1]


def describe(names: Sequence[str], groups: Sequence[Sequence[int]], split: np.ndarray, given: np.ndarray) -> list[str]:
    """Sentences on what is wrong with copies: across splits, and across labels."""
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
