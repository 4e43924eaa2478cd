"""Small datasets and packs that the tests of this folder share."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from noisewise.data.pack import Pack
from noisewise.data.prepare import prepare
from noisewise.runs.config import Prepare, Source

CLASSES = ("ant", "bee", "cat")
EACH = 40


def photograph(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    """A smooth random picture, uint8 [height, width, 3]: like a photograph, JPEG hardly changes it."""
    coarse = Image.fromarray(rng.integers(0, 256, (6, 6, 3), dtype=np.uint8))
    return np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC))


@pytest.fixture(scope="session")
def dataset(tmp_path_factory) -> Path:
    """120 pictures of three classes and of several shapes and kinds, in folders; the data folder they lie in."""
    data, rng = tmp_path_factory.mktemp("data"), np.random.default_rng(1)
    for number in range(EACH * len(CLASSES)):
        folder = data / "pictures" / CLASSES[number % len(CLASSES)]
        folder.mkdir(parents=True, exist_ok=True)
        image = Image.fromarray(photograph(rng, *rng.integers(20, 90, 2)))
        if number % 5 == 0:
            image = image.convert("L")
        image.save(folder / f"{number:03}.{('png', 'bmp', 'tiff')[number % 3]}")
    return data


def config(**changes) -> Prepare:
    """How the shared dataset is prepared, unless said otherwise."""
    return Prepare(**{"dataset": "pictures", "source": Source(root="pictures"), "size": 48, **changes})


@pytest.fixture(scope="session")
def raw_pack(dataset) -> Pack:
    return prepare(config(), dataset)


@pytest.fixture(scope="session")
def jpeg_pack(dataset) -> Pack:
    return prepare(config(format="jpeg"), dataset)
