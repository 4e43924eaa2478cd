"""Subsets: stratified, nested, at least one image a class, and decided by names and seed alone."""

from __future__ import annotations

import math
from types import SimpleNamespace

import numpy as np
import pytest
from conftest import config
from hypothesis import given
from hypothesis import strategies as st

from noisewise.data.prepare import prepare
from noisewise.data.subset import ranks, training_images, training_rows
from noisewise.errors import UserError

fractions = st.floats(1e-6, 1)
datasets = st.lists(st.tuples(st.integers(0, 4), st.sampled_from(("train", "train", "val", "test"))), min_size=1)


def pack_of(rows: list[tuple[int, str]], seed: int = 0) -> SimpleNamespace:
    """As much of a pack as subsets look at; five classes, of which some may have no images."""
    labels, split = np.array([label for label, _ in rows]), np.array([part for _, part in rows])
    names = [f"{number}.png" for number in range(len(rows))]
    return SimpleNamespace(
        labels=labels,
        classes=list("abcde"),
        ranks=ranks(names, labels, split, seed),
        indices=lambda part: np.flatnonzero(split == part),
    )


@given(datasets, fractions, fractions)
def test_subsets_are_stratified_and_lie_inside_larger_ones(rows, one, other):
    pack, (small, large) = pack_of(rows), sorted((one, other))
    train = pack.indices("train")
    labels = pack.labels[train]
    few, many = training_rows(pack, small), training_rows(pack, large)
    assert set(few) <= set(many)
    for label in range(5):
        count, kept = int((labels == label).sum()), int((labels[few] == label).sum())
        assert kept >= min(count, 1)
        assert small * count - 1e-6 <= kept < small * count + 1
    assert (np.diff(few) > 0).all()
    assert (training_images(pack, small) == train[few]).all()


@given(datasets)
def test_all_is_all(rows):
    pack = pack_of(rows)
    assert (training_images(pack, 1.0) == pack.indices("train")).all()


@given(st.integers(1, 500), st.integers(1, 100))
def test_a_class_gives_its_share_rounded_up_whatever_floating_point_thinks(count, hundredths):
    pack = pack_of([(0, "train")] * count)
    assert len(training_rows(pack, hundredths / 100)) == math.ceil(count * hundredths / 100 - 1e-12)


@given(datasets, st.randoms(use_true_random=False), fractions)
def test_the_order_of_the_images_does_not_matter(rows, random, fraction):
    labels, split = np.array([label for label, _ in rows]), np.array([part for _, part in rows])
    names = [f"{number}.png" for number in range(len(rows))]
    moved = list(range(len(rows)))
    random.shuffle(moved)
    found = ranks([names[row] for row in moved], labels[moved], split[moved], seed=3)
    assert (found == ranks(names, labels, split, seed=3)[moved]).all()


def test_the_split_seed_decides_and_the_draw_is_the_same_as_ever():
    rows = [(number % 2, "train") for number in range(20)]
    assert training_rows(pack_of(rows, seed=0), 0.3).tolist() == GOLDEN
    assert training_rows(pack_of(rows, seed=1), 0.3).tolist() != GOLDEN


@pytest.mark.parametrize("size", [48, 24])
def test_every_size_of_a_pack_means_the_same_images(dataset, size):
    pack, other = prepare(config(size=size), dataset), prepare(config(), dataset)
    assert (training_images(pack, 0.25) == training_images(other, 0.25)).all()
    assert len(training_images(pack, 0.25)) == pytest.approx(0.25 * len(pack.indices("train")), abs=3)


@pytest.mark.parametrize("fraction", [0, -0.5, 1.5, float("nan")])
def test_fractions_outside_the_legal_range(fraction):
    with pytest.raises(UserError, match="above 0 and at most 1"):
        training_rows(pack_of([(0, "train")]), fraction)


GOLDEN = [0, 1, 8, 17, 18, 19]
