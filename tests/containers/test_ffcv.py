"""FFCV as containers/ffcv/build.sh makes it."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np
import pytest

FOLDER = Path(__file__).parents[2] / "containers" / "ffcv"


@pytest.fixture(scope="module")
def library() -> ctypes.CDLL:
    """FFCV's compiled half, without the seconds that importing the other half takes."""
    library = ctypes.CDLL(str(Path(find_spec("ffcv").origin).with_name("_libffcv.so")))
    library.resize.argtypes = 11 * [ctypes.c_int64]
    return library


def resize(library: ctypes.CDLL, image: np.ndarray, crop: tuple[int, ...], size: tuple[int, int]) -> np.ndarray:
    """The crop (top, bottom, left, right) of an image at `size` (rows, columns), by FFCV's C function."""
    target = np.zeros((*size, 3), np.uint8)
    library.resize(0, image.ctypes.data, *image.shape[:2], *crop, target.ctypes.data, *size)
    return target


@pytest.mark.parametrize("size", [(40, 50), (20, 25), (17, 9), (1, 1)])
@pytest.mark.parametrize("crop", [(0, 40, 0, 50), (5, 33, 7, 48)])
def test_our_resize_is_opencvs_area_resize(library, crop, size):
    image = np.random.default_rng(0).integers(0, 256, (40, 50, 3), dtype=np.uint8)
    top, bottom, left, right = crop
    if size[0] > bottom - top or size[1] > right - left:
        size = (bottom - top, right - left)
    expected = cv2.resize(image[top:bottom, left:right], size[::-1], interpolation=cv2.INTER_AREA)
    difference = np.abs(resize(library, image, crop, size).astype(int) - expected)
    assert difference.max() <= 1  # rounding of a half


def test_the_wheel_brings_libjpeg_turbo(library):
    maps = Path("/proc/self/maps").read_text()
    bundled = Path(find_spec("ffcv").origin).parent
    assert any(path.name in maps for path in bundled.glob("libturbojpeg.so*"))


@pytest.mark.slow
def test_raw_and_jpeg_images_come_back():
    done = subprocess.run([sys.executable, FOLDER / "check.py"], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr


def build(out: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHON": sys.executable, **environment}
    return subprocess.run(["bash", FOLDER / "build.sh", out], capture_output=True, text=True, env=environment)


def test_a_missing_compiler_is_said_with_what_to_install(tmp_path):
    done = build(tmp_path, CXX="no-such-compiler")
    assert done.returncode == 1
    assert "apt-get install g++" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_missing_libjpeg_turbo_is_said_with_what_to_install(tmp_path):
    """A machine where the compiler does not find it and apt brings nothing."""
    for name in ("apt-get", "apt-cache", "compiler", "objdump"):
        (tmp_path / name).write_text("#!/bin/sh\nexit 1\n")
        (tmp_path / name).chmod(0o755)
    done = build(tmp_path / "out", CXX="compiler", PATH=f"{tmp_path}:{os.environ['PATH']}")
    assert done.returncode == 1
    assert "apt-get install libturbojpeg0-dev" in done.stderr
    assert "or run in the container" in done.stderr
