"""Every kind of noise against its definition."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binomtest, chisquare

from noisewise.data.corrupt import KINDS, Truth
from noisewise.data.noise import label_set
from noisewise.data.thumbnails import thumbnails
from noisewise.errors import RunError
from noisewise.runs.config import Noise

CLASSES = ["a", "b", "c", "d", "e"]
COUNT = 20_000
UNLIKELY = 1e-3


def truth(looks: np.ndarray | None = None) -> Truth:
    clean = np.random.default_rng(1).integers(0, len(CLASSES), COUNT)
    return Truth(clean, np.roll(clean, 1), CLASSES, lambda: looks)


def draw(noise: Noise, known: Truth, seed: int = 0) -> np.ndarray:
    """Counts [C, C]: of true class i, labelled j."""
    labels = KINDS[noise.kind](known, noise, np.random.default_rng(100 + seed))
    assert labels.dtype == np.int64 and labels.shape == known.clean.shape
    counts = np.zeros((len(CLASSES), len(CLASSES)), int)
    np.add.at(counts, (known.clean, labels), 1)
    return counts


def check_against(counts: np.ndarray, matrix: np.ndarray) -> None:
    for row, shares in zip(counts, matrix, strict=True):
        possible = shares > 0
        assert not row[~possible].any()
        if possible.sum() > 1:
            assert chisquare(row[possible], row.sum() * shares[possible]).pvalue > UNLIKELY
        else:
            assert row[possible] == row.sum()


@pytest.mark.parametrize("rate", [0.1, 0.4, 0.9])
@pytest.mark.parametrize("seed", range(3))
def test_pairflip_goes_to_the_next_class(rate, seed):
    wanted = (1 - rate) * np.eye(5) + rate * np.roll(np.eye(5), 1, axis=1)
    check_against(draw(Noise("pairflip", rate), truth(), seed), wanted)


@pytest.mark.parametrize("rate", [0.1, 0.4, 0.9])
@pytest.mark.parametrize("seed", range(3))
def test_class_dependent_noise_stays_in_its_group(rate, seed):
    wanted = np.eye(5)
    for group in ([0, 2, 4], [1]):
        for i in group if len(group) > 1 else ():
            wanted[i, group] = rate / (len(group) - 1)
            wanted[i, i] = 1 - rate
    noise = Noise("class_dependent", rate, groups=[["a", "e", "c"], ["b"]])  # d is in none
    check_against(draw(noise, truth(), seed), wanted)


@pytest.mark.parametrize("seed", range(3))
def test_transition_noise_follows_its_matrix(seed):
    rows = {"b": {"a": 0.25, "b": 0.5, "e": 0.25}, "d": {"c": 1.0}}
    wanted = np.eye(5)
    wanted[1], wanted[3] = [0.25, 0.5, 0, 0, 0.25], [0, 0, 1, 0, 0]
    check_against(draw(Noise("transition", 0.75, matrix=rows), truth(), seed), wanted)


@pytest.mark.parametrize(
    "noise",
    [Noise("class_dependent", 0.2, groups=[["a", "f"]]), Noise("transition", matrix={"a": {"f": 1.0}})],
    ids=lambda noise: noise.kind,
)
def test_unknown_classes_are_told_with_those_that_there_are(noise):
    with pytest.raises(RunError, match="unknown class 'f'.*Legal: a, b, c, d, e") as error:
        draw(noise, truth())
    assert error.value.kind == "config"


@pytest.mark.parametrize("rate", [0.3, 0.5])
def test_instance_noise_has_its_rate_and_goes_by_the_look(rate):
    """Images that look alike flip to the same class; over many looks all others are flipped to."""
    kinds = np.random.default_rng(2).standard_normal((7, 50))
    known = truth(np.repeat(kinds, -(-COUNT // 7), axis=0)[:COUNT])
    labels = KINDS["instance"](known, Noise("instance", rate), np.random.default_rng(0))
    flipped = labels != known.clean
    assert binomtest(int(flipped.sum()), COUNT, rate).pvalue > UNLIKELY
    look = np.repeat(np.arange(7), -(-COUNT // 7))[:COUNT]
    shares = []
    for kind in range(7):
        for label in range(5):
            found = labels[(look == kind) & (known.clean == label) & flipped]
            shares.append(np.bincount(found).max() / len(found))
    assert np.median(shares) > 0.9  # with 50 standardised numbers the softmax is nearly a choice
    assert len(set(zip(known.clean[flipped], labels[flipped], strict=True))) == 20


def test_instance_noise_is_the_supplements_algorithm():
    """Algorithm 2 of arXiv 2006.07836, image by image: the probabilities that our draw is from."""
    rng = np.random.default_rng(0)
    known = Truth(np.repeat(np.arange(3), 4), np.zeros(12, int), ["a", "b", "c"], lambda: looks)
    looks = np.random.default_rng(3).standard_normal((12, 2)).astype(np.float32)
    counts = np.zeros((12, 3))
    noise, times = Noise("instance", 0.4), 4000

    class Weights(np.random.Generator):
        """The same projections in every draw."""

        def standard_normal(self, size):
            return np.random.default_rng(9).standard_normal(size)

    for _ in range(times):
        counts[np.arange(12), KINDS["instance"](known, noise, Weights(rng.bit_generator))] += 1
    x = (looks - looks.mean(0)) / looks.std(0)
    weights = np.random.default_rng(9).standard_normal((2, 3))
    for image in range(12):
        y = known.clean[image]
        odds = np.exp(x[image] @ weights)
        odds[y] = 0
        wanted = 0.4 * odds / odds.sum()
        wanted[y] = 0.6
        assert chisquare(counts[image], times * wanted).pvalue > 1e-4


def test_given_is_what_the_dataset_says():
    known = truth()
    labels = KINDS["given"](known, Noise("given"), np.random.default_rng(0))
    assert (labels == known.given).all() and labels is not known.given


def test_thumbnails_are_mean_colours(raw_pack):
    rows = raw_pack.indices("train")[[0, 3, 5]]
    found = thumbnails(raw_pack, rows)
    beton, length = np.memmap(raw_pack.beton, np.uint8, "r"), raw_pack.size**2 * 3
    side = raw_pack.size // 8
    for row, values in zip(rows, found, strict=True):
        start = int(raw_pack.offsets[row])
        image = beton[start : start + length].reshape(8, side, 8, side, 3) / 255
        np.testing.assert_allclose(values.reshape(3, 8, 8), image.mean((1, 3)).transpose(2, 0, 1), atol=1e-6)


def test_instance_noise_on_a_real_pack_is_drawn_once(raw_pack):
    first = label_set(raw_pack, Noise("instance", 0.4, seed=5))
    assert 0.2 < first.realised_rate < 0.6
    assert label_set(raw_pack, Noise("instance", 0.4, seed=5)).fingerprint == first.fingerprint
