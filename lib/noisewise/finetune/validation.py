"""The labels by which a fine-tuning's best epoch is chosen."""

from __future__ import annotations

import numpy as np

from noisewise.data.noise import truth_is_known, validation_label_set
from noisewise.data.pack import Pack
from noisewise.runs.config import Noise


def validation_labels(pack: Pack, noise: Noise, select: str) -> tuple[np.ndarray, str]:
    """int64 [n], of the validation images, and what they are: "clean", "noisy" or "given".

    select: the recipe's. By "noisy" they are noisy as the training labels are (`validation_label_set`). They are
    "given", whatever is asked for, where the dataset's labels are noisy and it has no others.
    """
    known = truth_is_known(pack, noise)
    if known and select == "clean":
        return pack.labels[pack.indices("val")], "clean"
    return validation_label_set(pack, noise).labels, "noisy" if known else "given"
