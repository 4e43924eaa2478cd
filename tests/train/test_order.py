"""Which images make up which step."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from noisewise.errors import RunError
from noisewise.train.order import even_batches, full_batches, rows_of

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
