"""Label noise: a set of noisy training labels, drawn once from its own generator and kept with the pack.

The draw (`noisewise.data.corrupt`) depends on the `Noise` and the pack's content and on nothing else, so it is the same
on every machine and for every size of the pack; instance noise, which looks at the pixels, is each size's own. The rate
that came out and the confusion of true with given labels are recorded.
It is made for all training images, whatever the fraction of them that a run uses: an image's label is the same in all.
Where nobody has clean validation labels, those of the validation images are noised likewise, by a draw of their own.
"""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass
from pathlib import Path
from zipfile import BadZipFile

import numpy as np

from noisewise.data.corrupt import KINDS, Truth
from noisewise.data.pack import Pack
from noisewise.data.subset import training_rows
from noisewise.errors import RunError, UserError, unknown
from noisewise.runs.config import Noise
from noisewise.runs.files import read_json, replacing, write_json


@dataclass(frozen=True, eq=False)
class LabelSet:
    """The labels that a run trains on, aligned with its training images (`noisewise.data.subset.training_images`).

    Or those that it chooses its best epoch by, aligned with the validation images.

    labels: int64 [n], noisy. clean: int64 [n]. realised_rate: share of labels that differ; None where nobody knows,
        because the dataset's own labels are all there is.
    confusion: int64 [C, C], how many of true class i (row) are labelled j. fingerprint: SHA-256 of `labels`.
    """

    labels: np.ndarray
    clean: np.ndarray
    realised_rate: float | None
    confusion: np.ndarray
    fingerprint: str


def label_set(pack: Pack, noise: Noise, fraction: float = 1.0) -> LabelSet:
    """The noisy labels of a fraction of a pack's training images.

    Those of all of them are read where they were drawn before, else drawn and saved under noise/.

    Raises:
        UserError: an unknown kind, a rate outside [0, 1), or a fraction that is not above 0 and at most 1.
        RunError: data; a saved set is not of this pack, or is damaged. config; groups or a transition matrix name a
            class that is not there.
    """
    _check(noise)
    whole = _whole_set(pack, noise, "train")
    if fraction == 1:
        return whole
    rows = training_rows(pack, fraction)
    return _describe(whole.labels[rows], whole.clean[rows], pack, noise)


def validation_label_set(pack: Pack, noise: Noise) -> LabelSet:
    """Validation labels with the same kind and rate of noise, by a draw of their own; read or saved as `label_set`.

    Instance noise draws where a look leads to anew, so it is not the training labels' own in that. Raises as there.
    """
    _check(noise)
    return _whole_set(pack, noise, "val")


def truth_is_known(pack: Pack, noise: Noise) -> bool:
    """Whether the pack's `labels` are known to be true: not where the labels as given are all that it has."""
    return noise.kind != "given" or not np.array_equal(pack.labels, pack.given)


def _check(noise: Noise) -> None:
    if noise.kind not in KINDS:
        raise unknown("noise", noise.kind, KINDS)
    if not 0 <= noise.rate < 1 and noise.kind != "transition":  # a matrix may move all of its classes
        raise UserError(f"noise rate {noise.rate:g} of '{noise.kind}' must be at least 0 and below 1.")


def _whole_set(pack: Pack, noise: Noise, split: str) -> LabelSet:
    """The labels of all images of a split."""
    indices = pack.indices(split)
    clean = pack.labels[indices]
    path = _path(pack, noise, split)
    if path.with_suffix(".json").exists():
        return _describe(_read(path, pack, noise, split), clean, pack, noise)
    truth = Truth(clean, pack.given[indices], pack.classes, lambda: _thumbnails(pack, indices))
    labels = KINDS[noise.kind](truth, noise, _generator(pack, noise, split))
    found = _describe(labels, clean, pack, noise)
    _save(path, pack, noise, split, found)
    return found


def _path(pack: Pack, noise: Noise, split: str) -> Path:
    """Where a label set lies; groups and matrices are in its name by a hash, and the split unless it is training."""
    more = f"-{_hash(_more(noise))[:8]}" if _more(noise) else ""
    more += "" if split == "train" else f"-{split}"
    return pack.folder / "noise" / f"{noise.kind}-{noise.rate!r}-{noise.seed}{more}.npz"


def _more(noise: Noise) -> tuple:
    """What decides a draw beside kind, rate and seed; nothing for most kinds."""
    return tuple(part for part in (noise.groups, noise.matrix) if part)


def _hash(values: tuple) -> str:
    return hashlib.sha256(repr(values).encode()).hexdigest()


def _thumbnails(pack: Pack, indices: np.ndarray) -> np.ndarray:
    from noisewise.data.thumbnails import thumbnails  # needs torch, as no other kind does

    return thumbnails(pack, indices)


def _generator(pack: Pack, noise: Noise, split: str) -> np.random.Generator:
    other = () if split == "train" else (split,)
    seed = _hash((noise.kind, float(noise.rate), noise.seed, pack.content, *_more(noise), *other))
    return np.random.Generator(np.random.PCG64(int(seed[:32], 16)))


def _describe(labels: np.ndarray, clean: np.ndarray, pack: Pack, noise: Noise) -> LabelSet:
    confusion = np.zeros((len(pack.classes), len(pack.classes)), dtype=np.int64)
    np.add.at(confusion, (clean, labels), 1)
    rate = float(np.mean(labels != clean)) if truth_is_known(pack, noise) else None
    return LabelSet(labels, clean, rate, confusion, _fingerprint(labels))


def _fingerprint(labels: np.ndarray) -> str:
    return hashlib.sha256(labels.astype("<i8").tobytes()).hexdigest()


def _save(path: Path, pack: Pack, noise: Noise, split: str, found: LabelSet) -> None:
    """The labels, then their description, which says that the labels are whole."""
    with replacing(path, "wb") as file:
        np.savez(file, labels=found.labels, clean=found.clean, index=pack.indices(split))
    description = {
        **asdict(noise),
        "content": pack.content,
        "split": split,
        "classes": pack.classes,
        "realised_rate": found.realised_rate,
        "confusion": found.confusion.tolist(),
        "fingerprint": found.fingerprint,
    }
    write_json(path.with_suffix(".json"), description)


def _read(path: Path, pack: Pack, noise: Noise, split: str) -> np.ndarray:
    advice = f"Remove {path.with_suffix('.json')}: the same labels are drawn again."
    try:
        description = {"split": "train", **read_json(path.with_suffix(".json"))}  # older ones do not say
        with np.load(path) as arrays:
            labels = arrays["labels"]
    except (OSError, ValueError, KeyError, BadZipFile) as error:
        raise RunError("data", f"the label set {path} cannot be read: {error}", advice) from None
    asked = {**asdict(noise), "content": pack.content, "split": split}
    if odd := [key for key, value in asked.items() if description.get(key) != value]:
        raise RunError("data", f"the label set {path} is of another {odd[0]}", advice)
    if description.get("fingerprint") != _fingerprint(labels) or len(labels) != len(pack.indices(split)):
        raise RunError("data", f"the label set {path} is damaged: its fingerprint differs", advice)
    return labels
