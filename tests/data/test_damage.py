"""Damaged files and noise: whatever the bytes, there is an image or a reason."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import cv2
import numpy as np
import pydicom
from conftest import photograph
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from noisewise.data.images import Unreadable, decode


def encoded(values, form):
    buffer = BytesIO()
    Image.fromarray(values).save(buffer, form)
    return buffer.getvalue()


PICTURE = photograph(np.random.default_rng(4), 24, 24)
GREY = np.arange(576, dtype=np.uint16).reshape(24, 24)
DEEP = np.arange(1728, dtype=np.uint16).reshape(24, 24, 3)
IMAGES = [encoded(PICTURE, form) for form in ("PNG", "JPEG", "TIFF", "GIF", "BMP", "WEBP", "JPEG2000", "PPM")]
IMAGES += [encoded(GREY, form) for form in ("PNG", "TIFF")]
IMAGES += [cv2.imencode(suffix, DEEP)[1].tobytes() for suffix in (".png", ".tiff")]

FOLDER = Path(pydicom.__file__).parent / "data" / "test_files"
KINDS = ("MR_small", "MR_small_expb", "MR_small_jpeg_ls_lossless", "MR_small_jp2klossless", "SC_rgb_jpeg_gdcm")
KINDS += ("SC_rgb_rle", "SC_rgb_jpeg_dcmtk", "JPEGLSNearLossless_16")
DICOM = [(FOLDER / f"{name}.dcm").read_bytes() for name in KINDS]
DICOM += [DICOM[0][132:]]  # without its preamble


@st.composite
def damaged(draw, contents):
    """One of the contents, cut off somewhere or whole, with up to five bytes changed."""
    content = draw(st.sampled_from(contents))
    found = bytearray(content[: draw(st.just(len(content)) | st.integers(0, len(content)))])
    if found:
        for place in draw(st.lists(st.integers(0, len(found) - 1), max_size=5)):
            found[place] ^= draw(st.integers(1, 255))
    return bytes(found)


@settings(max_examples=500, deadline=None, derandomize=True)
@given(damaged(IMAGES) | damaged(DICOM) | st.binary(max_size=600), st.sampled_from(["declared", "stretch", "-9:99"]))
def test_an_image_or_a_reason(content, intensity):
    try:
        found = decode(content, intensity).pixels
    except Unreadable as error:
        assert str(error)
    else:
        assert found.dtype == np.uint8 and found.ndim == 3 and found.shape[2] == 3
