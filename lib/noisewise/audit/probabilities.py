"""What each training image probably shows, by what cannot know its label by heart.

Two judges, and the mean of their class probabilities:

- the run's own network at its best epoch, before it has learnt most wrong labels (`train_predictions.npz`);
- logistic regression on features of the encoder that the run began from, which has seen no labels, cross-validated:
  each image is judged by a model that was fitted to the others.

They err on different images. Where both were good, their mean found flipped labels of real images better than either,
and where the network had hardly learnt it was between the two (bench/audit.md).
"""

from __future__ import annotations

from zipfile import BadZipFile

import numpy as np

from noisewise.errors import RunError
from noisewise.evaluate.probes import cross_validated_probabilities
from noisewise.runs.folder import RunFolder

STRENGTH = 0.01  # of the logistic regression (scikit-learn's C): a strong penalty, for it must not fit wrong labels


def cross_validated(features: np.ndarray, given: np.ndarray, classes: int) -> np.ndarray:
    """Class probabilities [n, classes] of images by models fitted to the labels of other images alone.

    For folds and thin classes see `cross_validated_probabilities`.

    Args:
        features: float [n, d]. given: int [n], in [0, classes).

    Raises:
        RunError: nan; a feature is not finite.
    """
    if bad := int((~np.isfinite(features)).any(axis=1).sum()):
        raise RunError(
            "nan",
            f"the initial encoder's features of {bad} of {len(features)} training images are not finite",
            "Start from another init, or set precision=fp32, then submit the grid again.",
        )
    return cross_validated_probabilities(features, given, classes, STRENGTH)


def combine(network: np.ndarray, cross_validated: np.ndarray) -> np.ndarray:
    """The mean of both judges' probabilities, float64 [n, C]."""
    return (network.astype(np.float64) + cross_validated) / 2


def read_network(folder: RunFolder) -> dict[str, np.ndarray]:
    """What a run keeps of its training images, as arrays: index, given, clean [n], known, best [n, C].

    Raises:
        RunError: data; the file is not there, damaged, or lacks one of them.
    """
    advice = f"Remove the folder {folder.path} and submit again: it is run anew."
    try:
        with np.load(folder.train_predictions) as kept:
            return {name: kept[name] for name in ("index", "given", "clean", "known", "best")}
    except FileNotFoundError:
        raise RunError("data", f"the run has left no {folder.train_predictions}", advice) from None
    except (OSError, ValueError, KeyError, BadZipFile) as error:
        raise RunError("data", f"{folder.train_predictions} cannot be read: {error}", advice) from None
