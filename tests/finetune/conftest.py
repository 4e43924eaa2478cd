"""A dataset whose images are known by their pixels, and a fine-tuning over it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from noisewise.grid.expand import read_grid
from noisewise.runs.config import Source, Split


@pytest.fixture(scope="module")
def greys(tmp_path_factory):
    """A data folder of 60 flat grey images: image i has level 4 i, so that every image is known by its pixels."""
    data = tmp_path_factory.mktemp("greys")
    for number in range(60):
        path = data / "greys" / f"class{number % 3}" / f"{number:02}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((16, 16, 3), 4 * number, dtype=np.uint8)).save(path)
    return data


@pytest.fixture
def run(shapes_grid):
    """A cross-entropy fine-tuning over the greys, two epochs, 40 per cent of the labels wrong."""
    found = next(run for run in read_grid(str(shapes_grid)).finetunes if run.method == "cross_entropy")
    prepare = replace(found.prepare, dataset="greys", source=Source(root="greys"), split=Split(val=0.2, test=0.2))
    return replace(found, prepare=prepare)
