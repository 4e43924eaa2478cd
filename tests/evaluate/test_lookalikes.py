"""Groups of look-alikes: confusions by hand, a loop over all pairs of groups, and the probe that makes confusions."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from noisewise.evaluate import lookalikes
from noisewise.evaluate.lookalikes import group, likeness, probe_confusion


def confusion(classes: int, mistakes: dict[tuple[int, int], int], images: int = 100) -> np.ndarray:
    """Counts of `images` a class, where (i, j): n of i's are taken for j."""
    counts = images * np.eye(classes, dtype=np.int64)
    for (true, guess), count in mistakes.items():
        counts[true, guess] += count
        counts[true, true] -= count
    return counts


def test_two_pairs_and_a_class_by_itself():
    counts = confusion(5, {(0, 3): 20, (3, 0): 10, (1, 4): 15, (4, 1): 15, (2, 0): 1, (0, 2): 1})
    assert group(counts) == [[0, 3], [1, 4], [2]]


def test_confusion_in_one_direction_counts_for_both():
    assert group(confusion(4, {(0, 1): 30, (2, 3): 30})) == [[0, 1], [2, 3]]


def test_the_size_of_a_class_does_not_count():
    counts = confusion(4, {(0, 1): 20, (1, 0): 20, (2, 3): 20, (3, 2): 20})
    counts[2:] *= 50
    assert group(counts) == [[0, 1], [2, 3]]


def test_a_chain_that_is_alike_in_the_middle_alone_is_cut():
    counts = confusion(6, {(0, 1): 30, (1, 0): 30, (2, 3): 30, (3, 2): 30, (1, 2): 2, (2, 1): 2})
    assert group(counts) == [[0, 1], [2, 3], [4], [5]]


@pytest.mark.parametrize("classes", [2, 3, 5])
def test_where_all_are_equally_alike_all_are_one_group(classes):
    pairs = itertools.permutations(range(classes), 2)
    assert group(confusion(classes, dict.fromkeys(pairs, 7))) == [list(range(classes))]


def test_two_classes():
    assert group(confusion(2, {(0, 1): 3})) == [[0, 1]]
    assert group(confusion(2, {})) == [[0], [1]]


def test_nothing_confused_and_a_class_without_images():
    assert group(confusion(4, {})) == [[0], [1], [2], [3]]
    counts = confusion(4, {(0, 1): 10, (1, 0): 10})
    counts[3] = 0
    assert group(counts) == [[0, 1], [2], [3]]


def test_ties_are_settled_the_same_way_each_time():
    counts = confusion(6, {(0, 1): 10, (1, 2): 10, (2, 0): 10, (3, 4): 10, (4, 5): 10, (5, 3): 10})
    assert group(counts) == group(counts.copy()) == [[0, 1, 2], [3, 4, 5]]


def test_a_mistake_in_a_thousand_decides_nothing():
    counts = confusion(4, {(0, 1): 200, (1, 0): 200, (2, 3): 200, (3, 2): 200}, images=1000)
    other = confusion(4, {(0, 1): 201, (1, 0): 200, (2, 3): 200, (3, 2): 200, (0, 2): 4}, images=1000)
    assert np.array_equal(likeness(counts), likeness(other))
    assert likeness(counts)[0, 1] == 0.2 and likeness(counts)[0, 0] == 0


def by_loop(counts: np.ndarray) -> list[list[int]]:
    """The same by trying all pairs of groups."""
    shares = counts / counts.sum(1, keepdims=True)
    alike = (shares + shares.T) / 2
    cut = np.mean([alike[i, j] for i, j in itertools.combinations(range(len(counts)), 2)])
    groups = [[number] for number in range(len(counts))]
    while len(groups) > 1:
        value, one, two = max(
            (np.mean([alike[i, j] for i in one for j in two]), one, two)
            for one, two in itertools.combinations(groups, 2)
        )
        if value < cut:
            break
        groups = [each for each in groups if each not in (one, two)] + [sorted(one + two)]
    return sorted(groups)


@pytest.mark.parametrize("seed", range(20))
def test_it_is_what_a_loop_over_pairs_of_groups_finds(monkeypatch, seed):
    monkeypatch.setattr(lookalikes, "DIGITS", 15)  # no ties
    rng = np.random.default_rng(seed)
    counts = rng.gamma(0.3, 400, (9, 9)).astype(np.int64) + 3000 * np.eye(9, dtype=np.int64)
    assert group(counts) == by_loop(counts)


def blobs(each=60, seed=0):
    """Features of four classes: 0 and 2 lie nearly on one another, the others far away."""
    rng = np.random.default_rng(seed)
    centres = np.zeros((4, 6))
    centres[2, 0], centres[1, 1], centres[3, 2] = 0.3, 9, 9
    labels = np.repeat(np.arange(4), each)
    return (centres[labels] + rng.normal(size=(len(labels), 6))).astype(np.float32), labels


def test_the_probe_confuses_what_lies_together():
    features, labels = blobs()
    found = probe_confusion(features, labels, 4)
    assert found.sum(1).tolist() == [60] * 4 and found[0, 2] > 10 and found[2, 0] > 10
    assert found[1, 1] > 55 and found[3, 3] > 55
    assert group(found) == [[0, 2], [1], [3]]
    assert np.array_equal(found, probe_confusion(features, labels, 4))


def test_the_probe_has_not_seen_what_it_is_asked():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 60)
    found = probe_confusion(rng.normal(size=(60, 200)).astype(np.float32), labels, 2)  # learnt by heart it would be 60
    assert np.trace(found) < 45


def test_small_and_missing_classes():
    features, labels = blobs(each=3)
    found = probe_confusion(features[:-2], labels[:-2], 5)  # one image of class 3, none of class 4
    assert found.sum(1).tolist() == [3, 3, 3, 1, 0]
    with pytest.raises(ValueError, match="two classes"):
        probe_confusion(features[:3], labels[:3], 4)
