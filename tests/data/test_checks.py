from __future__ import annotations

import numpy as np
import pytest

from noisewise.data.checks import KNOWN, compare
from noisewise.grid.files import load_dataset

PUBLISHED = {
    "covid": (33_920, [21_715, 5_417, 6_788]),
    "dermnet": (19_559, [15_557, 4_002]),
    "fetal": (12_400, [7_129, 5_271]),
    "mura": (40_005, [36_808, 3_197]),
    "nct": (107_180, [100_000, 7_180]),
}


def whole(kind: str) -> tuple[list[str], np.ndarray, np.ndarray]:
    """Classes, labels and official split of the dataset as published."""
    splits, counts = KNOWN[kind]
    sizes = np.array([counts[name] for name in sorted(counts)])
    labels = np.repeat(np.arange(len(counts)), sizes.sum(axis=1))
    return sorted(counts), labels, np.concatenate([np.repeat(splits, row) for row in sizes])


@pytest.mark.parametrize("kind", PUBLISHED)
def test_known_counts_add_up_to_the_published_totals(kind):
    total, per_split = PUBLISHED[kind]
    columns = np.array(list(KNOWN[kind][1].values())).sum(axis=0)
    assert columns.tolist() == per_split and columns.sum() == total


def test_fetal_classes_add_up_to_the_published_ones():
    totals = {name: sum(sizes) for name, sizes in KNOWN["fetal"][1].items()}
    assert totals == dict(abdomen=711, brain=3092, femur=1040, thorax=1718, cervix=1626, other=4213)


@pytest.mark.parametrize("kind", PUBLISHED)
def test_dataset_files_agree_with_the_known_counts(kind):
    dataset = load_dataset(kind)
    assert dataset.source.kind == kind and dataset.images == PUBLISHED[kind][0]
    assert {name for group in dataset.groups for name in group} in (set(), set(KNOWN[kind][1]))


@pytest.mark.parametrize("kind", PUBLISHED)
def test_nothing_is_said_of_the_whole_dataset(kind):
    assert compare(kind, *whole(kind)) == []


@pytest.mark.parametrize("kind", PUBLISHED)
def test_validation_counts_as_training_unless_it_is_official(kind):
    classes, labels, split = whole(kind)
    split[np.flatnonzero(split == "train")[::7]] = "val"
    assert bool(compare(kind, classes, labels, split)) == (kind == "covid")


def test_every_difference_is_a_sentence():
    classes, labels, split = whole("nct")
    kept = np.arange(len(labels)) != np.flatnonzero((labels == classes.index("MUS")) & (split == "test"))[0]
    assert compare("nct", classes, labels[kept], split[kept]) == [
        "The dataset has 107,179 images, 1 fewer than the 107,180 published.",
        "The test split has 7,179 images, 1 fewer than the 7,180 published.",
        "Class 'MUS' in the test split has 591 images, 1 fewer than the 592 published.",
    ]


def test_image_in_another_class_keeps_the_totals():
    classes, labels, split = whole("mura")
    labels[np.flatnonzero((labels == classes.index("HAND")) & (split == "test"))[0]] = classes.index("ELBOW")
    assert compare("mura", classes, labels, split) == [
        "Class 'ELBOW' in the test split has 466 images, 1 more than the 465 published.",
        "Class 'HAND' in the test split has 459 images, 1 fewer than the 460 published.",
    ]


def test_class_that_is_lacking_and_one_that_is_new():
    classes, labels, split = whole("covid")
    renamed = [name if name != "Normal" else "Healthy" for name in classes]
    said = compare("covid", renamed, labels, split)
    assert "Class 'Normal' in the val split has 0 images, 1,712 fewer than the 1,712 published." in said
    assert "Class 'Healthy' in the val split has 1,712 images, 1,712 more than the 0 published." in said
    assert len(said) == 6


def test_nothing_is_said_of_an_unknown_kind():
    assert compare("folder", ["a", "b"], np.array([0, 1]), np.array(["train", "test"])) == []
