"""The kinds of label noise: each a function from the true labels of the training images to noisy ones.

- symmetric, class_dependent, pairflip: each label flips with the probability `rate`, to another class: any one, another
  of its group of look-alikes (arXiv 2308.04551, 2402.16734: sister papers of the study), or the next one (Co-teaching,
  arXiv 1804.06872, figure 2). None flips to its own class, so the nominal rate is the expected one, but for
  classes that are alone in their group: they stay clean.
- instance: Part-dependent Label Noise (arXiv 2006.07836, algorithm 2 of its supplement): an image's look decides where
  its label flips to. Here an image is its colours on a grid of 8 x 8 (`noisewise.data.thumbnails`).
- transition: label j is given to class i with the probability that a matrix says.
- given: the labels that the dataset came with.

Checked by chi-square against these definitions. Adding a kind is one function here, one line in `KINDS`, and its name
in `NOISE` of `noisewise.grid.noises` and `NoiseLevels` of `noisewise.grid.files`, which do not import numpy.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from noisewise.errors import RunError, unknown
from noisewise.runs.config import Noise

RATE_SPREAD = 0.1  # of instance noise: standard deviation of the images' own rates


@dataclass(frozen=True, eq=False)
class Truth:
    """What is known of n training images.

    clean: int64 [n], true classes. given: int64 [n], as the dataset has them. classes: their names.
    thumbnails: makes float32 [n, d], each image in a few numbers.
    """

    clean: np.ndarray
    given: np.ndarray
    classes: list[str]
    thumbnails: Callable[[], np.ndarray]


Corrupt = Callable[[Truth, Noise, np.random.Generator], np.ndarray]


def none(truth: Truth, noise: Noise, rng: np.random.Generator) -> np.ndarray:
    """No noise: the clean labels."""
    return truth.clean.copy()


def given(truth: Truth, noise: Noise, rng: np.random.Generator) -> np.ndarray:
    """No noise of ours: the dataset's own labels."""
    return truth.given.copy()


def symmetric(truth: Truth, noise: Noise, rng: np.random.Generator) -> np.ndarray:
    """Each label flips with probability `rate`, uniformly to one of the other classes (never to its own)."""
    clean = truth.clean
    flips = rng.random(len(clean)) < noise.rate
    others = (clean + rng.integers(1, len(truth.classes), len(clean))) % len(truth.classes)
    return np.where(flips, others, clean)


def pairflip(truth: Truth, noise: Noise, rng: np.random.Generator) -> np.ndarray:
    """Each label flips with probability `rate` to the class that follows it, the last one's to the first."""
    flips = rng.random(len(truth.clean)) < noise.rate
    return np.where(flips, (truth.clean + 1) % len(truth.classes), truth.clean)


def class_dependent(truth: Truth, noise: Noise, rng: np.random.Generator) -> np.ndarray:
    """Each label flips with probability `rate`, uniformly to another of its group; a class alone stays as it is.

    Raises:
        RunError: config; there are no groups, or they name a class that is not there.
    """
    if not noise.groups:
        raise RunError("config", "class-dependent noise has no groups to go by", "Name them in the dataset's file.")
    matrix = np.eye(len(truth.classes))
    for group in noise.groups:
        members = [_number(name, truth.classes, "groups") for name in group]
        for member in members if len(members) > 1 else ():
            matrix[member, members] = noise.rate / (len(members) - 1)
            matrix[member, member] = 1 - noise.rate
    return _draw(matrix[truth.clean], rng)


def transition(truth: Truth, noise: Noise, rng: np.random.Generator) -> np.ndarray:
    """Each label is drawn from its class's row of the matrix; a class without one stays as it is."""
    matrix = np.eye(len(truth.classes))
    for name, row in noise.matrix.items():
        line = _number(name, truth.classes, "the transition matrix")
        matrix[line] = 0
        for label, share in row.items():
            matrix[line, _number(label, truth.classes, "the transition matrix")] = share
    return _draw(matrix[truth.clean], rng)


def instance(truth: Truth, noise: Noise, rng: np.random.Generator) -> np.ndarray:
    """Each image x of class y has a rate q of its own, from a normal distribution around `rate` cut to [0, 1]; it
    keeps its label with probability 1 - q, else another's j with probability softmax over j != y of (x W_y)_j.

    x is standardised; the W are standard normal, one a class. The cut moves the mean rate where `rate` is near 0 or 1.
    """
    from scipy.stats import truncnorm

    count, looks = len(truth.classes), truth.thumbnails().astype(np.float64)
    looks = (looks - looks.mean(0)) / np.maximum(looks.std(0), 1e-6)
    low, high = (0 - noise.rate) / RATE_SPREAD, (1 - noise.rate) / RATE_SPREAD
    rates = truncnorm.rvs(low, high, loc=noise.rate, scale=RATE_SPREAD, size=len(looks), random_state=rng)
    shares = np.empty((len(looks), count))
    for label in range(count):
        rows = truth.clean == label
        scores = looks[rows] @ rng.standard_normal((looks.shape[1], count))
        scores[:, label] = -np.inf
        odds = np.exp(scores - scores.max(1, keepdims=True))
        shares[rows] = rates[rows, None] * odds / odds.sum(1, keepdims=True)
        shares[rows, label] = 1 - rates[rows]
    return _draw(shares, rng)


KINDS: dict[str, Corrupt] = {
    "none": none,
    "symmetric": symmetric,
    "class_dependent": class_dependent,
    "pairflip": pairflip,
    "instance": instance,
    "transition": transition,
    "given": given,
}


def _draw(shares: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A class, int64 [n], by each row of probabilities [n, C]."""
    steps = shares.cumsum(1)
    return (rng.random(len(shares))[:, None] * steps[:, -1:] >= steps).sum(1)


def _number(name: str, classes: list[str], where: str) -> int:
    """The place of a class.

    Raises:
        RunError: config, with the nearest name that there is.
    """
    if name in classes:
        return classes.index(name)
    error = unknown("class", name, classes, where)
    raise RunError("config", str(error), "Correct the dataset's or the matrix's file, then submit the grid again.")
