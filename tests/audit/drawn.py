"""Labels of which some are wrong, and class probabilities that know about it, as a classifier might."""

from __future__ import annotations

import numpy as np


def draw(count: int = 600, classes: int = 4, rate: float = 0.2, seed: int = 0) -> tuple[np.ndarray, ...]:
    """Probabilities [n, C] of a classifier that errs now and then, given labels [n] and clean ones [n]."""
    generator = np.random.default_rng(seed)
    clean = generator.integers(classes, size=count)
    wrong = generator.random(count) < rate
    given = np.where(wrong, (clean + generator.integers(1, classes, count)) % classes, clean)
    logits = generator.normal(0, 1, (count, classes)) + 3 * np.eye(classes)[clean]
    shares = np.exp(logits)
    return shares / shares.sum(axis=1, keepdims=True), given, clean
