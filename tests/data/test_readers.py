from __future__ import annotations

import numpy as np
import pytest

from noisewise.data.readers import KINDS, read
from noisewise.errors import RunError, UserError
from noisewise.grid.names import READERS, reader_exists
from noisewise.runs.config import Source


def test_every_reader_may_stand_in_a_grid():
    assert set(KINDS) <= set(READERS)
    assert {kind for kind in READERS if reader_exists(kind)} == set(KINDS)


def test_unknown_kind_names_the_nearest(tmp_path):
    with pytest.raises(UserError, match="unknown source kind 'foldr'. Did you mean 'folder'?"):
        read(Source("foldr"), tmp_path)


def test_elpv_has_the_published_counts(tmp_path):
    found = read(Source("elpv"), tmp_path)
    assert len(found.images) == 2624 and all(path.is_file() for path in found.images[::500])
    probability = np.genfromtxt(found.images[0].parent.parent / "labels.csv", usecols=1)
    defective = np.isin(found.labels, [found.classes.index(f"{crystal}-defective") for crystal in ("mono", "poly")])
    assert defective.sum() == (probability > 0.6).sum() == 106 + 715


def test_elpv_row_that_is_damaged(tmp_path):
    (tmp_path / "labels.csv").write_text("images/cell0001.png 1.0 mono\nimages/cell0002.png one mono\n")
    with pytest.raises(RunError, match="labels.csv, row 2: expected an image"):
        read(Source("elpv", str(tmp_path)), tmp_path)
