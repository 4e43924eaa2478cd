"""Clean or not, by the loss: a mixture of two normal distributions over per-sample losses (arXiv 2002.07394, 3.1).

Networks fit clean labels first, so that early on the losses of clean and of wrong labels lie on two heaps. The
mixture is scikit-learn's, with the settings of DivideMix's authors: losses scaled to [0, 1], at most 10 rounds of
expectation-maximisation, 5e-4 added to the variances.
"""

from __future__ import annotations

import warnings

import numpy as np
from threadpoolctl import threadpool_limits

from noisewise.errors import RunError
from noisewise.runs.failure import ADVICE


def clean_probability(losses: np.ndarray) -> np.ndarray:
    """The probability that each label is clean: of its loss being of the component with the smaller mean.

    The same losses give the same probabilities, to the bit. Losses that are all alike tell nothing: all are clean.

    Args:
        losses: float [n], one a training image.

    Returns:
        float64 [n].

    Raises:
        RunError: nan, if a loss is not finite.
    """
    losses = np.asarray(losses, dtype=np.float64)
    if not np.isfinite(losses).all():
        count = int((~np.isfinite(losses)).sum())
        raise RunError("nan", f"the losses of {count} training images are not finite", ADVICE["nan"])
    least, span = losses.min(), np.ptp(losses)
    if span == 0:
        return np.ones(len(losses))
    values = ((losses - least) / span)[:, None]
    mixture = _fit(values)
    return mixture.predict_proba(values)[:, mixture.means_.argmin()]


def _fit(values: np.ndarray):
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.mixture import GaussianMixture  # half a second, for the few that want it

    mixture = GaussianMixture(n_components=2, max_iter=10, tol=1e-2, reg_covar=5e-4, random_state=0)
    # One thread: several would add up in an order of their own each time.
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # ten rounds are meant to be all
        return mixture.fit(values)
