"""Which images make up which step."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from noisewise.errors import RunError
from noisewise.train.order import even_batches, full_batches, paired_batches, rows_of

counts = st.integers(1, 500)


@given(counts, st.integers(1, 64), st.integers(0, 5))
def test_even_batches_lose_and_repeat_nothing(count, batch, epoch):
    batches = even_batches(count, batch, seed=1, epoch=epoch)
    assert sorted(np.concatenate(batches)) == list(range(count))
    sizes = {len(part) for part in batches}
    assert max(sizes) <= batch and max(sizes) - min(sizes) <= 1


@given(counts, st.integers(1, 64))
def test_full_batches_are_full_and_repeat_nothing(count, batch):
    if count < batch:
        with pytest.raises(RunError, match=f"larger than the {count} training images"):
            full_batches(count, batch, seed=0, epoch=0)
        return
    batches = full_batches(count, batch, seed=0, epoch=0)
    assert {len(part) for part in batches} == {batch}
    assert len(set(np.concatenate(batches))) == len(batches) * batch > count - batch


def test_epochs_and_seeds_differ_and_are_repeatable():
    one = np.concatenate(even_batches(100, 10, seed=0, epoch=0))
    assert (one == np.concatenate(even_batches(100, 10, seed=0, epoch=0))).all()
    assert (one != np.concatenate(even_batches(100, 10, seed=0, epoch=1))).any()
    assert (one != np.concatenate(even_batches(100, 10, seed=1, epoch=0))).any()


def test_the_order_is_the_same_on_every_machine():
    assert np.concatenate(even_batches(10, 5, seed=3, epoch=2)).tolist() == GOLDEN


@given(st.integers(1, 8), st.integers(0, 100))
def test_ranks_share_a_batch_without_gap_or_overlap(world, total):
    parts = [list(range(total)[rows_of(rank, world, total)]) for rank in range(world)]
    assert sum(parts, []) == list(range(total))
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


GOLDEN = [5, 4, 0, 7, 3, 8, 2, 6, 9, 1]


@pytest.mark.parametrize(("labelled", "unlabelled", "batch"), [(37, 50, 16), (37, 3, 16), (5, 100, 64), (9, 0, 4)])
def test_paired_batches_hold_every_labelled_position_once(labelled, unlabelled, batch):
    kinds = np.arange(labelled), 1000 + np.arange(unlabelled)
    batches = paired_batches(*kinds, batch, 0, 3, "first")
    first = [rows[rows < 1000] for rows in batches]
    others = [rows[rows >= 1000] for rows in batches]
    assert sorted(np.concatenate(first)) == list(range(labelled))
    assert len(batches) == -(-labelled // (batch // 2)) and max(map(len, batches)) <= batch
    assert [len(rows) for rows in others] == [min(len(rows), unlabelled) for rows in first]
    times = np.bincount(np.concatenate(others) - 1000, minlength=unlabelled)
    assert unlabelled == 0 or times.max() - times.min() <= 1
    again, next_epoch = (paired_batches(*kinds, batch, 0, epoch, "first") for epoch in (3, 4))
    assert all(np.array_equal(*pair) for pair in zip(batches, again, strict=True))
    assert not np.array_equal(np.concatenate(batches), np.concatenate(next_epoch))


def test_paired_batches_mix_their_kinds_evenly():
    """Eight and four: any three in a row hold two of the first and one of the second."""
    (rows,) = paired_batches(np.arange(8), 1000 + np.arange(4), 16, 0, 0, "first")
    kinds = rows >= 1000
    assert all(kinds[start : start + 3].sum() == 1 for start in range(0, 12, 3))
