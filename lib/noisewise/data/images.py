"""One image file into 8-bit RGB pixels.

- Greyscale, palette and CMYK become RGB; what is transparent becomes black. The orientation that a camera noted (EXIF)
  is applied. How more than 8 bits become 8 is the dataset's rule (`noisewise.data.intensity`).
- One file is one image. Films, volumes and stacks are refused; the previews that phones and TIFF writers add are not
  counted. So are images too small to show anything, and those so large that they must be an accident or an attack.
- What is damaged is refused where the decoder can tell. Bits that flipped within a JPEG's data often cannot be told.
"""

from __future__ import annotations

import zlib
from io import BytesIO
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from noisewise.data.intensity import extremes, linear
from noisewise.data.square import square
from noisewise.errors import RunError
from noisewise.runs.intensity import DECLARED, STRETCH, Rule, Window, parse_intensity

MIN_SIDE = 4  # the smallest images that people classify are digits of 8 x 8 pixels
MAX_PIXELS = 200_000_000
MAX_BYTES = 8 * MAX_PIXELS  # of a file: more than the largest image needs
FULL = 65535  # the greatest value of 16 bits
TINY_PAGE = 0b101  # of a TIFF's NewSubfileType: a smaller copy of the image, or a mask for it
END_OF_JPEG = b"\xff\xd9"

# Plain raster formats. Left to itself, PIL would start Ghostscript for a file that begins like PostScript.
FORMATS = ("PNG", "JPEG", "TIFF", "BMP", "DIB", "GIF", "WEBP", "JPEG2000", "AVIF", "PPM")
SIGNATURES = {
    b"\x89PNG\r\n\x1a\n": "PNG",
    b"\xff\xd8\xff": "JPEG",
    b"II*\0": "TIFF",
    b"MM\0*": "TIFF",
    b"GIF8": "GIF",
    b"\x1f\x8b": "gzip archive",
}

# PIL says only in an error how many pixels were too many, and not how wide and high; `check_sides` does both.
Image.MAX_IMAGE_PIXELS = None


class Unreadable(Exception):
    """A file's content cannot be used as an image; the text is the reason, without the file's name."""


class Decoded(NamedTuple):
    """An image.

    pixels: uint8 [height, width, 3], RGB; may be read-only.
    peak: the brightest pixel as a share of white, where values became 8 bits by a rule; else None.
    """

    pixels: np.ndarray
    peak: float | None


def decode(content: bytes, intensity: str = DECLARED) -> Decoded:
    """The pixels of an image file's content. May be called from many threads.

    intensity: a rule of `noisewise.data.intensity`.

    Raises:
        Unreadable: it is no image, a damaged one, or none that can be used.
        UserError: an impossible intensity.
    """
    rule = parse_intensity(intensity)
    try:
        return _decode(content, rule)
    except (Unreadable, MemoryError):
        raise
    except Exception as error:  # decoders meet damaged bytes with any exception there is
        raise Unreadable(_reason(error)) from None


def open_square(path: Path, size: int, fit: str, intensity: str = DECLARED) -> np.ndarray:
    """The pixels of an image file, uint8 [size, size, 3], RGB; for fit and intensity see `square` and `decode`.

    Raises:
        RunError: data; the file is missing, damaged or no image.
    """
    try:
        return square(decode(Path(path).read_bytes(), intensity).pixels, size, fit)
    except (OSError, Unreadable) as error:
        raise RunError("data", f"{path}: {error}", "Replace the file by a whole copy, or leave it out.") from None


def from_array(pixels: np.ndarray) -> np.ndarray:
    """uint8 [height, width], [height, width, 1] or [height, width, 3] into uint8 [height, width, 3]."""
    if pixels.ndim == 3 and pixels.shape[2] == 3:
        return pixels
    return cv2.cvtColor(pixels, cv2.COLOR_GRAY2RGB)


def check_bytes(count: int) -> None:
    """
    Raises:
        Unreadable: a file of so many bytes is more than an image.
    """
    if count > MAX_BYTES:
        raise Unreadable(f"{count / 1e9:.1f} GB: more than {MAX_BYTES / 1e9:.1f} GB are no single image")


def check_sides(width: int, height: int) -> None:
    """
    Raises:
        Unreadable: too small, or too large.
    """
    if min(width, height) < MIN_SIDE:
        raise Unreadable(f"{width} x {height} pixels: too small to show anything")
    if width * height > MAX_PIXELS:
        most = f"{MAX_PIXELS // 10**6} million"
        raise Unreadable(f"{width} x {height} pixels: more than {most} are taken for a decompression bomb")


def check_frames(count: int) -> None:
    """
    Raises:
        Unreadable: more than one.
    """
    if count > 1:
        raise Unreadable(f"{count} frames: only single images can be used")


def _decode(content: bytes, rule: Rule) -> Decoded:
    if not content:
        raise Unreadable("the file is empty")
    if content[128:132] == b"DICM":
        return _decode_dicom(content, rule)
    try:
        image = Image.open(BytesIO(content), formats=FORMATS)
    except UnidentifiedImageError:
        return _decode_other(content, rule)
    with image:
        check_sides(*image.size)
        check_frames(_count_frames(image))
        if image.format == "TIFF" and (last := max(tile.extents[3] for tile in image.tile)) < image.height:
            raise Unreadable(f"truncated: {last} of {image.height} rows are there")  # PIL would leave the rest black
        if rule == DECLARED and (pixels := _fast_jpeg(image, content)) is not None:
            return Decoded(pixels, None)
        image.load()
        if image.mode == "F":
            raise Unreadable("its pixels are floating-point numbers; convert it to 8 or 16 bits")
        if image.mode.startswith("I"):
            return _from_values(_grey_values(image), rule)
        if _has_16_bit_colours(image, content):
            return _from_values(_colour_values(image, content), rule)
        pixels = _to_rgb(image)
    return Decoded(pixels if rule == DECLARED else linear(pixels, _window(pixels, rule)), None)


def _fast_jpeg(image: Image.Image, content: bytes) -> np.ndarray | None:
    """A plain JPEG by OpenCV: the same pixels as PIL's in two thirds of the time, and without Python's lock.

    OpenCV is silent about a file that was cut off: one without its end marker is left to PIL, as are all others.
    """
    if image.format != "JPEG" or image.mode not in ("L", "RGB") or not content.endswith(END_OF_JPEG):
        return None
    return cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR_RGB)


def _decode_dicom(content: bytes, rule: Rule) -> Decoded:
    from noisewise.data import dicom  # pydicom takes 0.3 s to import, and few datasets need it

    pixels = dicom.decode(content, rule)
    return Decoded(pixels, float(pixels.max()) / 255)


def _decode_other(content: bytes, rule: Rule) -> Decoded:
    """What PIL does not know: DICOM without its preamble, or the reason why it cannot be used."""
    head = content[:512]
    if head[:2] == b"\x1f\x8b":
        head = zlib.decompressobj(31).decompress(head, 512)
    if head[344:348] in (b"n+1\0", b"ni1\0") or head[4:8] in (b"n+2\0", b"ni2\0"):
        raise Unreadable("a 3D volume (NIfTI): only single images can be used; save its slices as images")
    if head[1:2] == b"\0" and head[:1] in (b"\x02", b"\x08") or head[:2] == b"\0\x08":
        return _decode_dicom(content, rule)
    for signature, kind in SIGNATURES.items():
        if content.startswith(signature):
            raise Unreadable(f"not an image: it begins like a {kind}, but what follows cannot be read")
    raise Unreadable("not an image")


def _reason(error: Exception) -> str:
    text = " ".join(str(error).split())
    if "truncated" in text.lower() or "unexpected end" in text.lower():
        return f"truncated: {text}"
    return f"damaged: {text or 'the decoder gave up'} ({type(error).__name__})"


def _count_frames(image: Image.Image) -> int:
    count = getattr(image, "n_frames", 1)
    if count == 1 or image.format == "MPO":  # of a phone's pictures the first is the photograph
        return 1
    if image.format == "TIFF":
        pages = []
        for page in range(count):
            image.seek(page)
            pages.append(not image.tag_v2.get(254, 0) & TINY_PAGE)
        image.seek(0)
        return sum(pages)
    return count


def _to_rgb(image: Image.Image) -> np.ndarray:
    """uint8 [height, width, 3] of an image of 8-bit channels."""
    ImageOps.exif_transpose(image, in_place=True)
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "black"), image)
    if image.mode not in ("L", "RGB"):
        image = image.convert("RGB")
    return from_array(np.asarray(image))


def _grey_values(image: Image.Image) -> np.ndarray:
    """Integers [height, width] of a greyscale image of more than 8 bits."""
    unsigned = image.format == "TIFF" and image.mode == "I" and image.tag_v2.get(339, (1,))[0] == 1
    transparent = image.info.get("transparency")
    ImageOps.exif_transpose(image, in_place=True)
    values = np.array(image)
    if transparent is not None:
        values[values == transparent] = 0
    return values.view(np.uint32) if unsigned else values


def _has_16_bit_colours(image: Image.Image, content: bytes) -> bool:
    """Whether PIL has kept only the high byte of each channel."""
    if image.format == "PNG":
        return content[24] == 16  # the bit depth
    return image.format == "TIFF" and max(image.tag_v2.get(258, (1,))) == 16


def _colour_values(image: Image.Image, content: bytes) -> np.ndarray:
    """uint16 [height, width, 3] of an image with 16-bit colours, or with 16-bit grey and alpha."""
    values = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
    if values is None or values.dtype != np.uint16 or values.ndim != 3 or values.shape[2] not in (3, 4):
        raise Unreadable("a kind of 16-bit colours that cannot be read; convert it to 8 bits")
    if values.shape[2] == 4:
        opaque = values[..., 3:] / FULL
        values = np.rint(values[..., :3] * opaque).astype(np.uint16)
    return _TURNS.get(image.getexif().get(0x0112), _TURNS[1])(values[..., ::-1])


def _from_values(values: np.ndarray, rule: Rule) -> Decoded:
    """An image of more than 8 bits: integers [height, width] or [height, width, 3]."""
    least, greatest = extremes(values)
    if rule == DECLARED and not 0 <= least <= greatest <= FULL:
        reach = f"its values reach from {least:.0f} to {greatest:.0f}, beyond 16 bits"
        raise Unreadable(f"{reach}; set the dataset's intensity to {STRETCH} or to LOW:HIGH")
    pixels = linear(values, _window(values, rule))
    return Decoded(from_array(pixels), float(pixels.max()) / 255)


def _window(values: np.ndarray, rule: Rule) -> Window:
    if isinstance(rule, Window):
        return rule
    return Window(0, FULL) if rule == DECLARED else extremes(values)


# What each EXIF orientation asks for.
_TURNS = {
    1: lambda values: values,
    2: np.fliplr,
    3: lambda values: np.rot90(values, 2),
    4: np.flipud,
    5: lambda values: values.swapaxes(0, 1),
    6: lambda values: np.rot90(values, -1),
    7: lambda values: np.rot90(values, 2).swapaxes(0, 1),
    8: np.rot90,
}
