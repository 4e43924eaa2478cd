"""A preparation as a run: what it leaves in its result."""

from __future__ import annotations

import numpy as np
import pytest
from conftest import config
from sklearn.metrics import calinski_harabasz_score

from noisewise.data.engine import prepare_run
from noisewise.data.thumbnails import thumbnails
from noisewise.runs.folder import RunFolder, Settings
from noisewise.train.control import Control


def test_how_far_apart_the_classes_are_by_their_colours(dataset, raw_pack, tmp_path):
    folder = RunFolder.of(tmp_path, config())
    folder.create(config(), Settings())
    result = prepare_run(config(), folder, Settings(data=str(dataset)), Control())
    train = raw_pack.indices("train")
    index = calinski_harabasz_score(thumbnails(raw_pack, train).astype(np.float64), raw_pack.labels[train])
    assert result["thumbnail_separability"] == pytest.approx(index * 2 / (len(train) - 3), rel=1e-5)
    assert result["images"] == len(raw_pack) and result["pack"] == str(raw_pack.folder)
