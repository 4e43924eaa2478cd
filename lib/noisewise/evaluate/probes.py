"""How good an encoder's features are, without fine-tuning it: two classifiers on top of them, and how they fill space.

- kNN, weighted by exp(similarity / T): Unsupervised Feature Learning via Non-Parametric Instance Discrimination
  (arXiv 1805.01978, section 3.4). Votes are checked against lightly's knn_predict and a loop by hand.
- Linear probe: logistic regression on standardised features, scikit-learn's.
- Effective rank: RankMe (arXiv 2210.02885, equation 1). Checked against the eigenvalues of the Gram matrix.
- Spread: the standard deviation that tells collapse in SimSiam (arXiv 2011.10566, section 4.1).

Features are float32 [n, d], finite; labels int [n] in [0, classes). Nothing here draws random numbers, but the folds
of a cross-validation, which are the same each time.
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import numpy as np

from noisewise.evaluate.scores import score

if TYPE_CHECKING:
    from sklearn.base import ClassifierMixin

FOLDS = 5
LINEAR_ITERATIONS = 100  # of L-BFGS at most: an encoder that is no good need not be fitted to the last digit
EPSILON = 1e-7  # RankMe's, for float32
VOTE_DIGITS = 9  # votes that differ by rounding alone are a tie


def knn_f1(
    train: np.ndarray,
    train_labels: np.ndarray,
    val: np.ndarray,
    val_labels: np.ndarray,
    classes: int,
    k: int = 20,
    temperature: float = 0.07,
) -> float:
    """Macro-F1, in [0, 1], of `val` when its k most similar training features vote; a tie goes to the lower class.

    Args:
        train, val: features [n, d] and [m, d], n >= 1, m >= 1; similarity is their cosine, and 1/2 where one is zero.
        k: neighbours, cut to n.
        temperature: T; a neighbour's vote is exp(similarity / T).

    Classes absent from `val` are left out, as in `score`; a class absent from `train` is never predicted.
    """
    from sklearn.neighbors import KNeighborsClassifier

    # Of unit vectors at distance r the cosine is 1 - r^2 / 2, and a constant factor leaves the votes' order alone.
    # scikit-learn finds Euclidean neighbours in blocks, in double precision, without the whole table of distances.
    model = KNeighborsClassifier(
        min(k, len(train)), weights=lambda r: np.exp(-(r**2) / 2 / temperature), algorithm="brute"
    )
    model.fit(_unit(train), train_labels)
    return score(_columns(model, _unit(val), classes).round(VOTE_DIGITS), val_labels).f1


def linear_f1(
    train: np.ndarray, train_labels: np.ndarray, val: np.ndarray, val_labels: np.ndarray, classes: int
) -> float:
    """Macro-F1, in [0, 1], of `val` by a logistic regression that is fitted to `train`; as `knn_f1` otherwise.

    For how it is fitted see `linear_probabilities`.
    """
    return score(linear_probabilities(train, train_labels, val, classes), val_labels).f1


def linear_probabilities(
    train: np.ndarray, train_labels: np.ndarray, others: np.ndarray, classes: int, strength: float = 1.0
) -> np.ndarray:
    """Class probabilities [m, classes] of features `others` [m, d] by a logistic regression fitted to `train` [n, d].

    Both are standardised by the training features' mean and standard deviation. Where training features are of one
    class alone, that class is predicted.

    Args:
        strength: C of scikit-learn, the inverse of the L2 penalty's.
    """
    from sklearn.dummy import DummyClassifier
    from sklearn.exceptions import ConvergenceWarning

    one = len(np.unique(train_labels)) == 1
    model = DummyClassifier(strategy="most_frequent") if one else linear_classifier(strength)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(train, train_labels)
    return _columns(model, others, classes)


def cross_validated_probabilities(
    features: np.ndarray, labels: np.ndarray, classes: int, strength: float = 1.0
) -> np.ndarray:
    """Class probabilities [n, classes] of images by regressions that are fitted to the others, in up to five folds.

    Folds keep the classes' shares where they can: a class with fewer members than folds is missing from some. Where
    no class has two members there is nothing to fold, and every image gets the classes' shares.

    Args:
        strength: as in `linear_probabilities`.

    Raises:
        ValueError: a feature is not finite; scikit-learn's.
    """
    from sklearn.model_selection import StratifiedKFold

    counts = np.bincount(labels, minlength=classes)
    folds = min(FOLDS, int(counts.max()))
    if folds < 2:
        return np.tile(counts / len(labels), (len(labels), 1))
    found = np.empty((len(labels), classes))
    splits = StratifiedKFold(folds, shuffle=True, random_state=0)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The least populated class", UserWarning)
        for others, mine in splits.split(features, labels):
            found[mine] = linear_probabilities(features[others], labels[others], features[mine], classes, strength)
    return found


def linear_classifier(strength: float = 1.0) -> ClassifierMixin:
    """A logistic regression on features that it standardises; not fitted yet. strength: as scikit-learn's C."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    return make_pipeline(StandardScaler(), LogisticRegression(C=strength, max_iter=LINEAR_ITERATIONS))


def rankme(features: np.ndarray) -> float:
    """Effective rank of features [n, d], from 1 to min(n, d): exp of the entropy of their singular values' shares.

    p_k = sigma_k / sum(sigma) + 1e-7, on the features as they are, not centred (equation 1). Features that are all
    zero count as one direction.
    """
    values = np.linalg.svd(features, compute_uv=False).astype(np.float64)
    shares = values / max(values.sum(), np.finfo(np.float64).tiny) + EPSILON
    return float(np.exp(-(shares * np.log(shares)).sum()))


def spread(features: np.ndarray) -> float:
    """How far features [n, d] spread over the sphere: about 1 when they fill it, 0 when all point one way.

    The standard deviation over images of each dimension of the features scaled to unit length, averaged over
    dimensions, times sqrt(d): a direction drawn at random has 1/sqrt(d) in each.
    """
    return float(_unit(features).std(axis=0).mean() * np.sqrt(features.shape[1]))


def _unit(features: np.ndarray) -> np.ndarray:
    """Scaled to unit length, float64; zero stays zero."""
    features = features.astype(np.float64)
    lengths = np.linalg.norm(features, axis=1, keepdims=True)
    return features / np.where(lengths == 0, 1, lengths)


def _columns(model: ClassifierMixin, features: np.ndarray, classes: int) -> np.ndarray:
    """The model's probabilities [n, classes], 0 for a class that it was not shown."""
    found = np.zeros((len(features), classes))
    found[:, model.classes_] = model.predict_proba(features)
    return found
