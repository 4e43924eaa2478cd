"""What many tests share: a small dataset of real image files, and grids over it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

CLASSES = ("disc", "ring", "square")
PER_CLASS = 24


@pytest.fixture(scope="session")
def shapes(tmp_path_factory) -> Path:
    """A data folder with `shapes/CLASS/*.png`: 72 noisy 20 px drawings in three classes, and `shapes.yaml`."""
    data = tmp_path_factory.mktemp("data")
    generator = np.random.default_rng(0)
    for name in CLASSES:
        (data / "shapes" / name).mkdir(parents=True)
        for number in range(PER_CLASS):
            drawing = draw(name, generator)
            Image.fromarray(drawing).save(data / "shapes" / name / f"{number:02}.png")
    (data / "shapes.yaml").write_text("source: {kind: folder, root: shapes}\nimages: 72\nsize: 16\n")
    return data


def draw(name: str, generator: np.random.Generator, size: int = 20) -> np.ndarray:
    """A shape at a random place on a noisy ground, uint8 [size, size, 3]."""
    y, x = np.mgrid[:size, :size]
    centre = generator.uniform(7, size - 7, 2)
    if name == "square":
        distance = np.maximum(abs(y - centre[0]), abs(x - centre[1]))
    else:
        distance = np.hypot(y - centre[0], x - centre[1])
    inside = (distance < 6) & ((distance > 4) | (name != "ring"))
    pixels = 60 + 120 * inside[..., None] + generator.normal(0, 15, (size, size, 3))
    return pixels.clip(0, 255).astype(np.uint8)


@pytest.fixture(scope="session")
def shapes_grid(shapes) -> Path:
    """A grid of 1 preparation, 1 pretraining and 4 fine-tunings over the shapes that takes seconds."""
    path = shapes / "grid.yaml"
    path.write_text(
        f"""
datasets: [{shapes / "shapes.yaml"}]
init: [random, simclr]
finetune: [cross_entropy, coteaching]
noise: {{symmetric: [0.4]}}
recipe:
  all: {{resolution: 16, stem: standard, epochs: 2, batch: 16}}
  finetune: {{all: {{last_epochs: 1}}}}
"""
    )
    return path
