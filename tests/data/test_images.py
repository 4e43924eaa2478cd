from __future__ import annotations

import gzip
import struct
import zlib
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO

import cv2
import numpy as np
import pytest
from conftest import photograph
from PIL import Image, ImageOps, TiffImagePlugin

from noisewise.data.images import Unreadable, decode, from_array, open_square
from noisewise.errors import RunError, UserError

SIZE = 32


@pytest.fixture
def picture():
    return photograph(np.random.default_rng(0), SIZE, SIZE)


def saved(path, image, **options):
    image.save(path, **options)
    return path


def test_a_square_of_the_right_size_is_left_alone(tmp_path, picture):
    for suffix in ("png", "bmp", "tiff"):
        assert (open_square(saved(tmp_path / f"a.{suffix}", Image.fromarray(picture)), SIZE, "resize") == picture).all()


def test_jpeg_is_what_pil_decodes(tmp_path, picture):
    path = saved(tmp_path / "a.jpg", Image.fromarray(picture), quality=90)
    assert (open_square(path, SIZE, "resize") == np.asarray(Image.open(path))).all()


def test_greyscale_palette_transparent_and_cmyk(tmp_path, picture):
    grey = Image.fromarray(picture).convert("L")
    found = open_square(saved(tmp_path / "l.png", grey), SIZE, "resize")
    assert (found == np.asarray(grey)[..., None]).all()
    palette = Image.fromarray(picture).quantize(16)
    found = open_square(saved(tmp_path / "p.png", palette), SIZE, "resize")
    assert (found == np.asarray(palette.convert("RGB"))).all()
    alpha = np.dstack([picture, np.full((SIZE, SIZE), 255, np.uint8)])
    alpha[:4, :, 3] = 0
    found = open_square(saved(tmp_path / "rgba.png", Image.fromarray(alpha)), SIZE, "resize")
    assert (found[:4] == 0).all() and (found[4:] == picture[4:]).all()
    cmyk = saved(tmp_path / "cmyk.jpg", Image.fromarray(picture).convert("CMYK"), quality=95)
    assert np.abs(open_square(cmyk, SIZE, "resize").astype(int) - picture).mean() < 4


@pytest.mark.parametrize("top", [65535, 4096, 4095, 255])
@pytest.mark.parametrize("suffix", ["png", "tiff"])
def test_16_bit_greyscale_is_divided_by_257_whatever_its_range(tmp_path, top, suffix):
    values = np.linspace(0, top, SIZE * SIZE).reshape(SIZE, SIZE).astype(np.uint16)
    found = open_square(saved(tmp_path / f"a.{suffix}", Image.fromarray(values)), SIZE, "resize")
    assert (found == np.rint(values / 257)[..., None]).all()
    assert found.min() == 0 and found.max() == round(top / 257)


def test_orientation_is_applied(tmp_path, picture):
    image = Image.fromarray(picture)
    exif = image.getexif()
    exif[0x0112] = 6  # to be turned clockwise by a quarter
    path = saved(tmp_path / "a.png", image, exif=exif)
    assert (open_square(path, SIZE, "resize") == np.rot90(picture, -1)).all()


@pytest.mark.parametrize("shape", [(100, 150), (64, 64), (90, 20), (10, 12)])
def test_resize_is_that_of_pil(tmp_path, shape):
    image = Image.fromarray(photograph(np.random.default_rng(1), *shape))
    found = open_square(saved(tmp_path / "a.png", image), SIZE, "resize").astype(int)
    assert np.abs(found - np.asarray(image.resize((SIZE, SIZE), Image.Resampling.BILINEAR))).max() <= 1


@pytest.mark.parametrize("orientation", range(10))
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_fast_jpeg_has_the_pixels_of_pil(mode, orientation, monkeypatch):
    image = Image.fromarray(photograph(np.random.default_rng(7), 50, 70)).convert(mode)
    exif = Image.Exif()
    exif[0x0112] = orientation
    content = encoded(image, "JPEG", quality=90, exif=exif)
    slow = decode(content + b"\0").pixels  # what follows the end leaves it to PIL
    with monkeypatch.context() as patch:
        patch.setattr("noisewise.data.images._to_rgb", None)  # PIL's way
        fast = decode(content).pixels
    peer = ImageOps.exif_transpose(Image.open(BytesIO(content))).convert("RGB")
    assert np.abs(fast.astype(int) - np.asarray(peer)).max() <= 1 and (slow == np.asarray(peer)).all()


def test_shrinking_does_not_alias(tmp_path):
    stripes = np.zeros((1024, 1024, 3), np.uint8)
    stripes[:, ::2] = 255
    found = open_square(saved(tmp_path / "a.png", Image.fromarray(stripes)), SIZE, "resize")
    assert found.min() >= 126 and found.max() <= 129  # the filter is cut at the edges


def test_pad_and_crop(tmp_path):
    image = photograph(np.random.default_rng(2), SIZE, SIZE // 2)
    path = saved(tmp_path / "a.png", Image.fromarray(image))
    padded = open_square(path, SIZE, "pad")
    assert (padded[:, 8:24] == image).all() and (padded[:, :8] == 0).all() and (padded[:, 24:] == 0).all()
    assert (open_square(path, SIZE // 2, "crop") == image[8:24]).all()


def test_what_cannot_be_read(tmp_path, picture):
    whole = saved(tmp_path / "whole.jpg", Image.fromarray(picture), quality=95)
    (tmp_path / "cut.jpg").write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    png = saved(tmp_path / "whole.png", Image.fromarray(picture))
    (tmp_path / "cut.png").write_bytes(png.read_bytes()[: png.stat().st_size // 2])
    (tmp_path / "text.png").write_text("no image")
    (tmp_path / "empty.jpg").write_bytes(b"")
    saved(tmp_path / "float.tiff", Image.fromarray(np.ones((4, 4), np.float32)))
    for name in ("cut.jpg", "cut.png", "text.png", "empty.jpg", "float.tiff", "absent.png"):
        with pytest.raises(RunError, match=name) as error:
            open_square(tmp_path / name, SIZE, "resize")
        assert error.value.kind == "data" and error.value.advice


def encoded(image, form, **options):
    buffer = BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


def by_cv2(values, suffix):
    return cv2.imencode(suffix, values)[1].tobytes()


def read_by_cv2(content):
    return cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)


def test_arrays_of_one_and_three_channels(picture):
    assert (from_array(picture) == picture).all()
    grey = np.repeat(picture[..., :1], 3, axis=2)
    assert (from_array(picture[..., 0]) == grey).all() and (from_array(picture[..., :1]) == grey).all()


@pytest.mark.parametrize("top", [65535, 4095])
@pytest.mark.parametrize("suffix", [".png", ".tiff"])
def test_16_bits_are_those_that_cv2_reads(suffix, top):
    values = np.random.default_rng(0).integers(0, top + 1, (20, 30), dtype=np.uint16)
    values[0, 0] = top
    content = by_cv2(values, suffix)
    found = decode(content)
    assert np.abs(found.pixels - read_by_cv2(content)[..., None] / 257).max() <= 0.5
    assert found.peak == found.pixels.max() / 255 == pytest.approx(top / 65535, abs=0.002)
    stretched = (values - float(values.min())) / (top - float(values.min())) * 255
    assert np.abs(decode(content, "stretch").pixels - stretched[..., None]).max() <= 0.5
    window = np.clip((values - 100.0) / 900 * 255, 0, 255)
    assert np.abs(decode(content, "100:1000").pixels - window[..., None]).max() <= 0.5


@pytest.mark.parametrize("suffix", [".png", ".tiff"])
@pytest.mark.parametrize("rule, low, high", [("declared", 0, 65535), ("stretch", 7, 4095), ("100:1000", 100, 1000)])
def test_16_bit_colours_keep_one_scale(suffix, rule, low, high):
    colours = np.random.default_rng(0).integers(7, 4096, (20, 30, 3), dtype=np.uint16)
    colours[0, 0] = 7, 8, 4095
    found = decode(by_cv2(colours[..., ::-1], suffix), rule)
    assert np.abs(found.pixels - np.clip((colours - float(low)) / (high - low) * 255, 0, 255)).max() <= 0.5
    assert found.peak == found.pixels.max() / 255


def test_16_bit_colours_are_black_where_transparent():
    colours = np.full((4, 6, 4), 51400, np.uint16)
    colours[:2, :, 3], colours[2:, :, 3] = 0, 65535
    found = decode(by_cv2(colours, ".png")).pixels
    assert (found[:2] == 0).all() and (found[2:] == 200).all()


@pytest.mark.parametrize("orientation", range(1, 9))
def test_16_bit_colours_are_turned_as_others_are(orientation):
    small = np.random.default_rng(0).integers(0, 256, (4, 6, 3), dtype=np.uint8)
    exif = Image.Exif()
    exif[0x0112] = orientation
    expected = decode(encoded(Image.fromarray(small), "PNG", exif=exif)).pixels
    deep = by_cv2(small[..., ::-1].astype(np.uint16) * 257, ".png")
    body = exif.tobytes().removeprefix(b"Exif\0\0")
    assert (decode(deep[:33] + chunk(b"eXIf", body) + deep[33:]).pixels == expected).all()


def test_big_endian_signed_and_32_bit_tiff():
    values = np.arange(-12, 12, dtype=np.int32).reshape(4, 6) * 4000
    big = b"MM\0*" + struct.pack(">IH", 8, 8)
    tags = [(256, 3, 6), (257, 3, 4), (258, 3, 16), (259, 3, 1), (262, 3, 1), (273, 4, 110), (278, 3, 4), (279, 4, 48)]
    for tag, kind, value in tags:
        big += struct.pack(">HHI", tag, kind, 1) + struct.pack(">HH" if kind == 3 else ">I", *([value, 0][: 5 - kind]))
    big += bytes(4)
    positive = values.clip(0).astype(">u2")
    content = big + positive.tobytes()
    assert len(big) == 110 and np.abs(decode(content).pixels - positive[..., None] / 257).max() <= 0.5
    deep = encoded(Image.fromarray(values), "TIFF")
    with pytest.raises(Unreadable, match="from -48000 to 44000, beyond 16 bits; set .* to stretch or to LOW:HIGH"):
        decode(deep)
    assert decode(deep, "stretch").pixels[..., 0].ravel().tolist() == np.rint(np.arange(24) / 23 * 255).tolist()
    assert decode(deep, "-48000:0").pixels[0, 1, 0] == round(4000 / 48000 * 255)


def test_8_bits_keep_their_values_unless_the_rule_is_for_all(picture):
    content = encoded(Image.fromarray(picture // 2 + 9), "PNG")
    assert (decode(content).pixels == picture // 2 + 9).all() and decode(content).peak is None
    assert decode(content, "stretch").pixels.min() == 0 and decode(content, "stretch").pixels.max() == 255
    window = np.clip((picture // 2 + 9 - 20.0) / 80 * 255, 0, 255)
    assert np.abs(decode(content, "20:100").pixels - window).max() <= 0.5
    assert (decode(encoded(Image.new("L", (8, 8), 99), "PNG"), "stretch").pixels == 0).all()
    with pytest.raises(UserError, match="Legal: declared, stretch, or LOW:HIGH"):
        decode(content, "bright")


def test_previews_do_not_count_as_images(picture):
    image, small = Image.fromarray(picture), Image.fromarray(picture[::2, ::2])
    phone = encoded(image, "MPO", save_all=True, append_images=[small])
    assert Image.open(BytesIO(phone)).n_frames == 2 and decode(phone).pixels.shape == picture.shape
    buffer = BytesIO()
    with TiffImagePlugin.AppendingTiffWriter(buffer) as pages:
        image.save(pages, "TIFF")
        pages.newFrame()
        small.save(pages, "TIFF", tiffinfo={254: 1})
        pages.newFrame()
    assert Image.open(buffer).n_frames == 2 and (decode(buffer.getvalue()).pixels == picture).all()


@pytest.mark.parametrize("form", ["GIF", "PNG", "WEBP", "TIFF"])
def test_films_and_stacks_are_refused(picture, form):
    pages = [Image.fromarray(np.roll(picture, 9 * number, 0)) for number in range(3)]
    with pytest.raises(Unreadable, match="^3 frames: only single images can be used$"):
        decode(encoded(pages[0], form, save_all=True, append_images=pages[1:]))
    assert decode(encoded(pages[0], form)).pixels.shape == picture.shape


def chunk(kind, body):
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png_of(width, height):
    """A PNG that claims this size."""
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
        + chunk(b"IDAT", b"")
    )


def height(rows):
    """TIFF's tag for it."""
    return struct.pack("<HHII", 257, 4, 1, rows)


def nifti(magic=b"n+1\0"):
    return struct.pack("<i", 348) + bytes(340) + magic + bytes(1000)


@pytest.mark.parametrize(
    "content, reason",
    [
        (b"", "^the file is empty$"),
        (b"a,b\n1,2\n", "^not an image$"),
        (b"\x89PNG\r\n\x1a\n" + bytes(50), "^not an image: it begins like a PNG, but what follows cannot be read$"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "^not an image$"),
        (nifti(), r"^a 3D volume \(NIfTI\)"),
        (gzip.compress(nifti(b"ni1\0"), mtime=0), r"^a 3D volume \(NIfTI\)"),
        (gzip.compress(struct.pack("<i", 540) + b"n+2\0\r\n\x1a\n" + bytes(600), mtime=0), r"^a 3D volume \(NIfTI\)"),
        (gzip.compress(b"text", mtime=0), "^not an image: it begins like a gzip archive"),
        (encoded(Image.new("RGB", (1, 1)), "PNG"), "^1 x 1 pixels: too small to show anything$"),
        (encoded(Image.new("L", (300, 3)), "PNG"), "^300 x 3 pixels: too small to show anything$"),
        (
            encoded(Image.new("1", (20000, 20000)), "PNG"),
            "^20000 x 20000 pixels: more than 200 million are taken for a",
        ),
        (encoded(Image.fromarray(np.ones((4, 4), np.float32)), "TIFF"), "^its pixels are floating-point numbers"),
        (encoded(Image.new("RGB", (64, 64)), "JPEG")[:-200], "^truncated: "),
        (encoded(Image.new("L", (8, 9)), "TIFF").replace(height(9), height(99)), "^truncated: 9 of 99 rows are there$"),
        (encoded(Image.new("RGB", (64, 64)), "BMP")[:-200], "^truncated: "),
        (encoded(Image.fromarray(photograph(np.random.default_rng(5), 64, 64)), "PNG")[:-60], "^truncated: "),
    ],
)
def test_what_cannot_be_used_says_why(content, reason):
    with pytest.raises(Unreadable, match=reason):
        decode(content)


def test_many_threads_decode_at_once(picture):
    content = encoded(Image.fromarray(picture), "PNG")
    with ThreadPoolExecutor(8) as pool:
        assert all((found.pixels == picture).all() for found in pool.map(decode, [content] * 64))
