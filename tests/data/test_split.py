from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.model_selection import StratifiedGroupKFold

from noisewise.data.split import assign
from noisewise.data.table import SPLITS, Table
from noisewise.errors import RunError
from noisewise.runs.config import Split


def table(labels, patients=None, split=None) -> Table:
    labels = np.asarray(labels)
    images = [Path(f"/images/{number:06}.png") for number in range(len(labels))]
    classes = [f"class {number}" for number in range(labels.max() + 1)]
    return Table(images, labels, classes, labels, patients, split)


def counts(found: Table, split: np.ndarray) -> np.ndarray:
    """Images a split and class."""
    return np.array([np.bincount(found.labels[split == part], minlength=len(found.classes)) for part in SPLITS])


def test_shares_of_every_class_are_met_to_one_image():
    labels = np.repeat([0, 1, 2], [200, 57, 11])
    found = counts(table(labels), assign(table(labels), Split(val=0.15, test=0.2)))
    expected = np.outer([0.65, 0.15, 0.2], [200, 57, 11])
    assert np.abs(found - expected).max() <= 1
    assert found.sum(axis=0).tolist() == [200, 57, 11]


def test_seed_decides_and_nothing_else():
    whole = table(np.repeat([0, 1], 50))
    first = assign(whole, Split(seed=0))
    assert (assign(whole, Split(seed=0)) == first).all()
    assert (assign(whole, Split(seed=1)) != first).any()


@pytest.mark.parametrize("patients", [None, [f"p{number // 3}" for number in range(120)]])
def test_order_of_files_does_not_matter(patients):
    whole = table(np.arange(120) % 4, patients)
    shuffled = np.random.default_rng(0).permutation(120)
    moved = Table(
        [whole.images[row] for row in shuffled],
        whole.labels[shuffled],
        whole.classes,
        whole.given[shuffled],
        patients and [patients[row] for row in shuffled],
    )
    assert (assign(moved, Split()) == assign(whole, Split())[shuffled]).all()


@pytest.mark.parametrize(
    ("patients", "expected"),
    [(None, "429823afc9e3bc1b"), ([f"p{number // 3}" for number in range(120)], "a5dad623e8a780ff")],
    ids=["images", "patients"],
)
def test_split_is_the_same_on_every_machine(patients, expected):
    """A golden cut: if it moves with a new numpy, all packs and noisy label sets do."""
    letters = "".join(part[1] for part in assign(table(np.arange(120) % 4, patients), Split()))
    assert hashlib.sha256(letters.encode()).hexdigest()[:16] == expected


@settings(max_examples=60, deadline=None)
@given(
    groups=st.lists(st.lists(st.integers(0, 89), min_size=2, max_size=6, unique=True), max_size=6),
    seed=st.integers(0, 99),
    patients=st.booleans(),
)
def test_copies_of_a_file_are_not_parted_and_neither_are_their_patients(groups, seed, patients):
    whole = table(np.arange(90) % 3, [f"p{number // 2}" for number in range(90)] if patients else None)
    split = assign(whole, Split(seed=seed), groups)
    assert all(len(set(split[group])) == 1 for group in groups)
    if patients:
        assert (split[::2] == split[1::2]).all()


@settings(max_examples=60, deadline=None)
@given(
    sizes=st.lists(st.integers(1, 9), min_size=12, max_size=60),
    classes=st.integers(2, 4),
    mixed=st.booleans(),
    seed=st.integers(0, 5),
)
def test_no_patient_is_in_two_splits(sizes, classes, mixed, seed):
    rng = np.random.default_rng(seed)
    patients = np.repeat(np.arange(len(sizes)), sizes)
    labels = rng.integers(0, classes, len(patients)) if mixed else patients % classes
    labels[:classes] = range(classes) if mixed else labels[:classes]
    whole = table(labels, [f"p{patient}" for patient in patients])
    try:
        split = assign(whole, Split(seed=seed))
    except RunError as error:
        few = [len(set(patients[labels == label])) for label in range(classes)]
        assert min(few) < 3 or mixed, error
        return
    assert all(len(set(split[patients == patient])) == 1 for patient in range(len(sizes)))
    assert (counts(whole, split) > 0).all()


def test_as_even_as_sklearn():
    """A class's share is at most one image further off than in the folds of `StratifiedGroupKFold`."""
    rng = np.random.default_rng(0)
    patients = np.repeat(np.arange(150), rng.integers(1, 12, 150))
    labels = np.where(rng.random(len(patients)) < 0.8, patients % 4, rng.integers(0, 4, len(patients)))
    whole = table(labels, [f"p{patient:03}" for patient in patients])
    expected = 0.2 * np.bincount(labels)
    ours = counts(whole, assign(whole, Split(val=0.2, test=0.2)))[2]
    folds = StratifiedGroupKFold(5, shuffle=True, random_state=0).split(labels, labels, patients)
    theirs = [np.abs(np.bincount(labels[test]) - expected).max() for _, test in folds]
    assert np.abs(ours - expected).max() <= max(theirs) + 1


@pytest.mark.parametrize("seed", range(5))
def test_large_patients_do_not_upset_the_shares(seed):
    """Three patients have 270 of the 355 images of a class; the other class is there to make two."""
    sizes = [100, 90, 80, 17, 17, 17, 17, 17]
    patients = [f"p{number}" for number in np.repeat(np.arange(8), sizes)] + [f"q{number}" for number in range(100)]
    whole = table([0] * sum(sizes) + [1] * 100, patients)
    found = counts(whole, assign(whole, Split(val=0.15, test=0.2, seed=seed)))
    assert np.abs(found[:, 0] / sum(sizes) - [0.65, 0.15, 0.2]).max() < 0.03
    assert found[:, 1].tolist() == [65, 15, 20]


def test_seed_moves_large_patients_too():
    """No two patients are equally large, so that the order of sizes alone leaves nothing to the seed."""
    patients = np.repeat(np.arange(30), np.arange(1, 31))
    whole = table(patients % 2, [f"p{patient:02}" for patient in patients])
    largest = {str(assign(whole, Split(seed=seed))[-1]) for seed in range(40)}
    assert largest == set(SPLITS)


@pytest.mark.parametrize("few", [3, 4, 5])
def test_every_split_has_a_class_of_few_patients(few):
    patients = [f"p{number // 10}" for number in range(10 * few)] + [f"q{number}" for number in range(60)]
    whole = table([0] * 10 * few + [1] * 60, patients)
    assert all((counts(whole, assign(whole, Split(seed=seed))) > 0).all() for seed in range(10))


def test_images_of_unknown_patients_are_units_of_their_own():
    patients = ["p0"] * 20 + ["p1"] * 20 + ["p2"] * 20 + [None] * 200
    labels = np.arange(260) % 2
    whole = table(labels, patients)
    split = assign(whole, Split(val=0.15, test=0.2))
    assert all(len(set(split[start : start + 20])) == 1 for start in (0, 20, 40))
    assert set(split[60:]) == set(SPLITS)
    assert np.abs(counts(whole, split).sum(axis=1) - np.array([169, 39, 52])).max() <= 2
    official = np.where(np.arange(260) < 100, "test", "train").tolist()
    assert (assign(table(labels, ["p0"] * 20 + [None] * 240, official), Split())[:100] == "test").all()


def test_official_split_is_kept_and_what_it_lacks_is_cut_from_its_training_images():
    labels = np.arange(100) % 2
    official = ["test" if number < 30 else "train" for number in range(100)]
    split = assign(table(labels, split=official), Split(val=0.2, test=0.5))
    assert (split[:30] == "test").all()
    assert (split[30:] == "val").sum() == 14 and (split[30:] == "train").sum() == 56
    whole = ["train", "val", "test"] * 20
    assert assign(table(np.repeat([0, 1], 30), split=whole), Split()).tolist() == whole


def test_official_split_that_leaks_a_patient():
    with pytest.raises(RunError, match="1 patients on two sides, such as 'p1' in test and train"):
        assign(table([0, 1, 0, 1], ["p0", "p1", "p1", "p2"], ["train", "train", "test", "test"]), Split())


def test_class_with_fewer_images_or_patients_than_splits_is_named():
    small = table([0] * 20 + [1] * 2)
    with pytest.raises(RunError, match="class 'class 1' has 2 images: none is left for val"):
        assign(small, Split())
    few = replace(table([0] * 20 + [1] * 9), patients=[f"p{number}" for number in range(20)] + ["q1", "q2", "q2"] * 3)
    with pytest.raises(RunError, match="class 'class 1' has 9 images of 2 patients") as error:
        assign(few, Split())
    assert error.value.kind == "data"


@pytest.mark.parametrize("split", [Split(val=0), Split(test=-0.1), Split(val=0.6, test=0.4)])
def test_shares_that_leave_nothing(split):
    with pytest.raises(RunError, match="leave nothing") as error:
        assign(table([0, 1] * 20), split)
    assert error.value.kind == "config"
