"""How hard a dataset is: Fisher's class separability of features of its images. The higher, the easier.

    J = tr(S_b) / tr(S_w)
    S_w = 1/n sum over classes c, over images x of c, of (x - m_c)(x - m_c)^T    (within classes)
    S_b = 1/n sum over classes c of n_c (m_c - m)(m_c - m)^T                     (between classes)

with m_c the mean of a class's n_c features and m that of all n: Fukunaga, Introduction to Statistical Pattern
Recognition (1990), section 10.2, criterion J4, after Fisher (1936). The study (arXiv 2401.07990) ranks its datasets by
Fisher's class separability score; which of its forms and which features it took is not known to us. This form needs no
inverse of S_w, so fewer images than features do; no shift, rotation or scale of all features moves it.
Checked against a case by hand, scikit-learn's Calinski-Harabasz index, which is J (n - C) / (C - 1), and the
covariances of its LinearDiscriminantAnalysis.

By chance alone J is about (C - 1) / n: compare it on like numbers of images.
"""

from __future__ import annotations

import numpy as np

ROUNDING = 1e-12  # what is left of a spread of nought


def separability(features: np.ndarray, labels: np.ndarray) -> float | None:
    """J, at least 0, of features [n, d] with labels int [n]; 0 where all are of one class.

    None where it has no value: a feature is not finite, there are no images, or all of a class are alike (tr S_w = 0).
    """
    if not len(features) or not np.isfinite(features).all():
        return None
    features = features.astype(np.float64)
    within = between = 0.0
    mean = features.mean(0)
    for label in np.unique(labels):
        mine = features[labels == label]
        within += ((mine - mine.mean(0)) ** 2).sum()
        between += len(mine) * ((mine.mean(0) - mean) ** 2).sum()
    return float(between / within) if within > ROUNDING * between else None
