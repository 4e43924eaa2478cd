"""Whether a dataset is the one that was published: its images per class and official split, against known counts."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from noisewise.data.readers import covid, dermnet, fetal, mura, nct

# Kind of source -> the official splits, and class -> images in each of them.
KNOWN: dict[str, tuple[tuple[str, ...], Mapping[str, tuple[int, ...]]]] = {
    "covid": (covid.SPLITS, covid.COUNTS),
    "dermnet": (dermnet.SPLITS, dermnet.COUNTS),
    "fetal": (fetal.SPLITS, fetal.COUNTS),
    "mura": (mura.SPLITS, mura.COUNTS),
    "nct": (nct.SPLITS, nct.COUNTS),
}


def compare(kind: str, classes: list[str], labels: np.ndarray, split: np.ndarray) -> list[str]:
    """What differs from the published counts, a sentence each; none where nothing does or nothing is known.

    A validation split that is not official was cut from the training images, and counts as these.

    Args:
        kind: of the source (`noisewise.data.readers`).
        labels: int [n], positions in `classes`.
        split: str [n] of "train", "val", "test".
    """
    if kind not in KNOWN:
        return []
    splits, counts = KNOWN[kind]
    split = split if "val" in splits else np.where(split == "val", "train", split)
    said = [_sentence("The dataset", len(labels), sum(map(sum, counts.values())))]
    said += [
        _sentence(f"The {part} split", np.count_nonzero(split == part), sum(known[column] for known in counts.values()))
        for column, part in enumerate(splits)
    ]
    for name in sorted({*classes, *counts}):
        mine = split[labels == classes.index(name)] if name in classes else split[:0]
        said += [
            _sentence(f"Class '{name}' in the {part} split", np.count_nonzero(mine == part), known)
            for part, known in zip(splits, counts.get(name, (0,) * len(splits)), strict=True)
        ]
    return [sentence for sentence in said if sentence]


def _sentence(what: str, found: int, known: int) -> str:
    """Nothing where the two agree."""
    how = f"{abs(found - known):,} {'fewer' if found < known else 'more'}"
    return "" if found == known else f"{what} has {found:,} images, {how} than the {known:,} published."
