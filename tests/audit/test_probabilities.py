"""Where probabilities come from: each image is judged without its own label, and thin classes break nothing."""

from __future__ import annotations

import numpy as np
import pytest

from noisewise.audit.probabilities import combine, cross_validated, read_network
from noisewise.errors import RunError
from noisewise.runs.folder import RunFolder


def clusters(*counts: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Features [n, 5] around a point a class, and their labels."""
    generator = np.random.default_rng(seed)
    given = np.repeat(np.arange(len(counts)), counts)
    return generator.normal(0, 1, (len(given), 5)) + 4 * np.eye(5)[given], given


def test_images_are_judged_by_the_others_and_wrong_labels_stand_out():
    features, given = clusters(30, 30, 30)
    clean = given.copy()
    given[[3, 40]] = 2
    found = cross_validated(features, given, 3)
    np.testing.assert_allclose(found.sum(axis=1), 1)
    assert set(np.argsort(found[np.arange(90), given])[:2]) == {3, 40}
    assert (found.argmax(axis=1) == clean).mean() > 0.95


def test_a_label_does_not_sway_its_own_image():
    """Labels that mean nothing are guessed by chance, although these features could learn them all by heart."""
    generator = np.random.default_rng(0)
    features, given = generator.normal(size=(200, 300)), generator.integers(2, size=200)
    agrees = cross_validated(features, given, 2).argmax(axis=1) == given
    assert agrees.mean() < 0.65


@pytest.mark.parametrize("counts", [(20, 1), (20, 3, 2), (8, 0, 8), (2, 2), (3, 0)])
def test_thin_and_missing_classes(counts):
    features, given = clusters(*counts)
    found = cross_validated(features, given, len(counts))
    assert np.isfinite(found).all() and found.shape == (sum(counts), len(counts))
    np.testing.assert_allclose(found.sum(axis=1), 1)
    assert not found[:, [number for number, count in enumerate(counts) if not count]].any()


def test_with_one_image_a_class_nothing_can_be_said():
    features, given = clusters(1, 1, 1)
    np.testing.assert_allclose(cross_validated(features, given, 3), np.full((3, 3), 1 / 3))


def test_features_that_are_not_finite_are_a_failure_of_class_nan():
    features, given = clusters(10, 10)
    features[4, 1] = np.inf
    with pytest.raises(RunError, match="features of 1 of 20 training images are not finite") as error:
        cross_validated(features, given, 2)
    assert error.value.kind == "nan"


def test_the_judges_count_alike():
    network = np.array([[1.0, 0.0]], dtype=np.float32)
    np.testing.assert_allclose(combine(network, np.array([[0.2, 0.8]])), [[0.6, 0.4]])


def test_a_run_without_its_probabilities_says_what_to_do(tmp_path):
    folder = RunFolder(tmp_path)
    with pytest.raises(RunError, match="has left no") as error:
        read_network(folder)
    assert str(tmp_path) in error.value.advice
    folder.train_predictions.write_bytes(b"PK half a file")
    with pytest.raises(RunError, match="cannot be read"):
        read_network(folder)
