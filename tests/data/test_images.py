from __future__ import annotations

import numpy as np
import pytest
import torch
from conftest import photograph
from PIL import Image
from torchvision.transforms.v2 import functional

from noisewise.data.images import open_square
from noisewise.errors import RunError

SIZE = 32


@pytest.fixture
def square():
    return photograph(np.random.default_rng(0), SIZE, SIZE)


def saved(path, image, **options):
    image.save(path, **options)
    return path


def test_a_square_of_the_right_size_is_left_alone(tmp_path, square):
    for suffix in ("png", "bmp", "tiff"):
        assert (open_square(saved(tmp_path / f"a.{suffix}", Image.fromarray(square)), SIZE, "resize") == square).all()


def test_jpeg_is_what_pil_decodes(tmp_path, square):
    path = saved(tmp_path / "a.jpg", Image.fromarray(square), quality=90)
    assert (open_square(path, SIZE, "resize") == np.asarray(Image.open(path))).all()


def test_greyscale_palette_transparent_and_cmyk(tmp_path, square):
    grey = Image.fromarray(square).convert("L")
    found = open_square(saved(tmp_path / "l.png", grey), SIZE, "resize")
    assert (found == np.asarray(grey)[..., None]).all()
    palette = Image.fromarray(square).quantize(16)
    found = open_square(saved(tmp_path / "p.png", palette), SIZE, "resize")
    assert (found == np.asarray(palette.convert("RGB"))).all()
    alpha = np.dstack([square, np.full((SIZE, SIZE), 255, np.uint8)])
    alpha[:4, :, 3] = 0
    found = open_square(saved(tmp_path / "rgba.png", Image.fromarray(alpha)), SIZE, "resize")
    assert (found[:4] == 0).all() and (found[4:] == square[4:]).all()
    cmyk = saved(tmp_path / "cmyk.jpg", Image.fromarray(square).convert("CMYK"), quality=95)
    assert np.abs(open_square(cmyk, SIZE, "resize").astype(int) - square).mean() < 4


@pytest.mark.parametrize("top", [65535, 4096, 4095, 255])
@pytest.mark.parametrize("suffix", ["png", "tiff"])
def test_16_bit_greyscale_is_divided_by_257_whatever_its_range(tmp_path, top, suffix):
    values = np.linspace(0, top, SIZE * SIZE).reshape(SIZE, SIZE).astype(np.uint16)
    found = open_square(saved(tmp_path / f"a.{suffix}", Image.fromarray(values)), SIZE, "resize")
    assert (found == np.rint(values / 257)[..., None]).all()
    assert found.min() == 0 and found.max() == round(top / 257)


def test_orientation_is_applied(tmp_path, square):
    image = Image.fromarray(square)
    exif = image.getexif()
    exif[0x0112] = 6  # to be turned clockwise by a quarter
    path = saved(tmp_path / "a.png", image, exif=exif)
    assert (open_square(path, SIZE, "resize") == np.rot90(square, -1)).all()


@pytest.mark.parametrize("shape", [(100, 150), (64, 64), (90, 20), (10, 12)])
def test_resize_is_near_torchvision(tmp_path, shape):
    image = photograph(np.random.default_rng(1), *shape)
    found = open_square(saved(tmp_path / "a.png", Image.fromarray(image)), SIZE, "resize")
    peer = functional.resize(torch.tensor(image).permute(2, 0, 1), [SIZE, SIZE], antialias=True)
    assert np.abs(found.astype(int) - peer.permute(1, 2, 0).numpy()).mean() < 3


def test_shrinking_does_not_alias(tmp_path):
    stripes = np.zeros((1024, 1024, 3), np.uint8)
    stripes[:, ::2] = 255
    found = open_square(saved(tmp_path / "a.png", Image.fromarray(stripes)), SIZE, "resize")
    assert found.min() >= 127 and found.max() <= 128


def test_pad_and_crop(tmp_path):
    image = photograph(np.random.default_rng(2), SIZE, SIZE // 2)
    path = saved(tmp_path / "a.png", Image.fromarray(image))
    padded = open_square(path, SIZE, "pad")
    assert (padded[:, 8:24] == image).all() and (padded[:, :8] == 0).all() and (padded[:, 24:] == 0).all()
    assert (open_square(path, SIZE // 2, "crop") == image[8:24]).all()


def test_what_cannot_be_read(tmp_path, square):
    whole = saved(tmp_path / "whole.jpg", Image.fromarray(square), quality=95)
    (tmp_path / "cut.jpg").write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    png = saved(tmp_path / "whole.png", Image.fromarray(square))
    (tmp_path / "cut.png").write_bytes(png.read_bytes()[: png.stat().st_size // 2])
    (tmp_path / "text.png").write_text("no image")
    (tmp_path / "empty.jpg").write_bytes(b"")
    saved(tmp_path / "float.tiff", Image.fromarray(np.ones((4, 4), np.float32)))
    for name in ("cut.jpg", "cut.png", "text.png", "empty.jpg", "float.tiff", "absent.png"):
        with pytest.raises(RunError, match=name) as error:
            open_square(tmp_path / name, SIZE, "resize")
        assert error.value.kind == "data" and error.value.advice
