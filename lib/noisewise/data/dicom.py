"""A DICOM file of a single image into 8-bit RGB pixels.

pydicom reads the file; uncompressed and RLE pixels are decoded by itself, JPEG (8 bits) and JPEG 2000 by Pillow, the
rest (JPEG lossless, JPEG-LS) by GDCM. How values become 8 bits is stated in `noisewise.data.intensity`.

A file is known by "DICM" at byte 128. One without this preamble is taken if it begins like DICOM and names a kind of
DICOM object or holds an image. Overlays, presentation states and colour profiles are not applied. An enhanced image
with one frame is read as others are; where its rescale or window is in its functional groups, those of the frame count.

White is the greatest value that the declared bits of a VOI LUT hold. Some scanners declare 16, the size of an entry,
whatever its range: of 16, only the bits that the table's greatest entry needs count (8 at least), as viewers do it.
"""

from __future__ import annotations

import math
import struct
from io import BytesIO
from typing import Any, BinaryIO

import gdcm
import numpy as np
import pydicom
from pydicom.dataset import FileDataset
from pydicom.encaps import get_frame
from pydicom.pixels import apply_color_lut, get_decoder
from pydicom.pixels.utils import get_expected_length
from pydicom.uid import UID, ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from noisewise.data.images import Unreadable, check_frames, check_sides, from_array
from noisewise.data.intensity import declared_window, extremes, linear
from noisewise.runs.intensity import DECLARED, STRETCH, Rule, Window

DECODERS = ("pillow", "gdcm", "pydicom")  # the first that knows a compression: Pillow notices most of what is damaged
GREY = ("MONOCHROME1", "MONOCHROME2")
PALETTE = "PALETTE COLOR"
REQUIRED = ("Rows", "Columns", "PhotometricInterpretation", "BitsAllocated", "BitsStored", "PixelRepresentation")

# Values that stray from the standard are met as they are used; a warning for each would bury what matters.
pydicom.config.settings.reading_validation_mode = pydicom.config.IGNORE
gdcm.Trace.WarningOff()
gdcm.Trace.ErrorOff()


def read(stream: BinaryIO, tags: list[str] | None = None) -> FileDataset:
    """What is in a file: of a stream at its beginning, which can seek.

    tags: the keywords of the elements before the pixels to read; None for all, and the pixels.

    Raises:
        Unreadable: it does not begin like DICOM. Damaged files may raise anything else.
    """
    head = stream.read(132)
    group = head[:2] in (b"\x02\0", b"\x08\0", b"\0\x08")  # of the first element where there is no preamble
    if head[128:] != b"DICM" and not group:
        raise Unreadable("not an image")
    stream.seek(0)
    return pydicom.dcmread(stream, force=True, stop_before_pixels=tags is not None, specific_tags=tags)


def decode(content: bytes, rule: Rule) -> np.ndarray:
    """uint8 [rows, columns, 3], RGB. May be called from many threads.

    Raises:
        Unreadable: not DICOM, or none with a single image that can be used. Damaged files may raise anything else.
    """
    file = read(BytesIO(content))
    _check(file, preamble=content[128:132] == b"DICM")
    stored, space, bits = _pixels(file)
    if space == PALETTE:
        return _coloured(_paint(file, stored), 8, rule)
    if space == "RGB":
        return _coloured(stored, bits, rule)
    if space not in GREY:
        raise Unreadable(f"DICOM in a colour space that cannot be read: {space}")
    return from_array(_grey(file, stored, bits, rule))


def _check(file: FileDataset, preamble: bool) -> None:
    kind = _kind(file)
    if not preamble and not kind and not ("Rows" in file and "PixelData" in file):
        raise Unreadable("not an image")
    if "FloatPixelData" in file or "DoubleFloatPixelData" in file:
        raise Unreadable("its pixels are floating-point numbers; convert it to 8 or 16 bits")
    if not file.get("PixelData"):
        raise Unreadable(f"a DICOM file without an image{f' ({kind})' if kind else ''}")
    _complete(file)
    check_sides(int(file.Columns), int(file.Rows))
    check_frames(int(file.get("NumberOfFrames") or 1))


def _complete(file: FileDataset) -> None:
    """Sees to it that what pixels are read by is there, and the colour space written as the standard has it."""
    _require(file, REQUIRED)
    file.PhotometricInterpretation = str(file.PhotometricInterpretation).strip().upper()
    if file.get("SamplesPerPixel") is None and file.PhotometricInterpretation in (*GREY, PALETTE):
        file.SamplesPerPixel = 1  # the standard allows them no other
    _require(file, ("SamplesPerPixel",))
    _require(file, ("PlanarConfiguration",) if file.SamplesPerPixel > 1 else ())


def _require(file: FileDataset, names: tuple[str, ...]) -> None:
    for name in names:
        if file.get(name) in (None, ""):
            raise Unreadable(f"a DICOM file without {name}")


def _kind(file: FileDataset) -> str:
    """What a file is by its SOP class, as "CT Image" or "Basic Text SR"; empty if that is not known."""
    uid = UID(str(file.get("SOPClassUID") or file.file_meta.get("MediaStorageSOPClassUID") or ""))
    return uid.name.removesuffix(" Storage") if uid.is_valid and uid.name != uid else ""


def _pixels(file: FileDataset) -> tuple[np.ndarray, str, int]:
    """The stored values, integers [rows, columns] or [rows, columns, 3], their colour space, and the bits of each."""
    syntax = _transfer_syntax(file)
    try:
        decoder = get_decoder(syntax)
    except NotImplementedError:
        raise Unreadable(f"DICOM compressed in a way that cannot be decoded: {syntax.name}") from None
    if syntax.is_compressed and syntax.is_encapsulated:
        pixels, found = _decompress(decoder, file, syntax)
    else:
        _check_native(file)
        pixels, found = decoder.as_array(file, index=0)
    return pixels, found["photometric_interpretation"], int(found["bits_stored"])


def _transfer_syntax(file: FileDataset) -> UID:
    """As the file declares it, else what its own encoding tells."""
    declared = file.file_meta.get("TransferSyntaxUID")
    if declared:
        return UID(declared)
    if file["PixelData"].is_undefined_length:
        raise Unreadable("DICOM compressed in a way that it does not name")
    implicit, little = file.original_encoding
    found = ImplicitVRLittleEndian if implicit else ExplicitVRLittleEndian if little else ExplicitVRBigEndian
    file.file_meta.TransferSyntaxUID = found
    return found


def _decompress(decoder: Any, file: FileDataset, syntax: UID) -> tuple[np.ndarray, dict[str, Any]]:
    name = next((name for name in DECODERS if name in decoder.available_plugins), None)
    if name is None:
        raise Unreadable(f"DICOM compressed in a way that cannot be decoded: {syntax.name}")
    if not file["PixelData"].is_undefined_length:
        raise Unreadable(f"damaged: its pixels are not compressed, but it names {syntax.name}")
    if name == "gdcm":
        _check_header(get_frame(file.PixelData, 0, number_of_frames=1), file)
    try:
        return decoder.as_array(file, index=0, decoding_plugin=name)
    except RuntimeError as error:  # pydicom's sum of what the decoder said
        reason = str(error).splitlines()[-1].strip().removeprefix(f"{name}: ")
        raise Unreadable(f"DICOM pixels that cannot be decoded ({syntax.name}): {reason}") from None


def _check_header(stream: bytes, file: FileDataset) -> None:
    """Of JPEG lossless and JPEG-LS: that its markers are a chain, and its sides the file's.

    GDCM takes both for granted, and would end the process; damaged data it refuses.
    """
    place, frames = 2, []
    while (code := stream[place + 1]) != 0xDA and stream[place] == 0xFF:  # up to the start of the scan
        if 0xC0 <= code <= 0xCF and code != 0xC4 or code == 0xF7:
            frames.append((code, *struct.unpack_from(">BHHB", stream, place + 4)))
        place += 2 + struct.unpack_from(">H", stream, place + 2)[0]
    sides = [frame[2:] for frame in frames if frame[0] in (0xC3, 0xF7) and frame[1] <= file.BitsAllocated]
    if stream[place] != 0xFF or len(frames) != 1 or sides != [(file.Rows, file.Columns, file.SamplesPerPixel)]:
        raise Unreadable("damaged: the header of its compressed pixels does not fit the file's")


def _check_native(file: FileDataset) -> None:
    expected, found = get_expected_length(file), len(file.PixelData)
    if found < expected:
        raise Unreadable(f"truncated: {found} of {expected} bytes of pixels")
    bits, high = int(file.BitsStored), int(file.get("HighBit", file.BitsStored - 1))
    if high != bits - 1:
        raise Unreadable(f"DICOM whose {bits} stored bits do not end at bit {high}")


def _paint(file: FileDataset, stored: np.ndarray) -> np.ndarray:
    """Palette indices, integers [rows, columns], as colours, uint8 [rows, columns, 3].

    Of 16-bit entries the high byte counts: it is exact whether the 8 bits were repeated in the low byte or not.
    """
    if "RedPaletteColorLookupTableData" not in file:  # its compressed form
        colours = apply_color_lut(stored, file)[..., :3]
        return (colours >> (8 * colours.itemsize - 8)).astype(np.uint8)
    names = (f"{colour}PaletteColorLookupTable" for colour in ("Red", "Green", "Blue"))
    found = [_look_up(file, file[f"{name}Descriptor"].value, file[f"{name}Data"].value, stored) for name in names]
    bits = max(8, *(max(declared, needed) for _, declared, needed in found))
    return (np.dstack([channel for channel, _, _ in found]) >> (bits - 8)).astype(np.uint8)


def _coloured(pixels: np.ndarray, bits: int, rule: Rule) -> np.ndarray:
    """Colours of `bits` bits a channel, integers [rows, columns, 3], as uint8."""
    if rule == STRETCH:
        return linear(pixels, extremes(pixels))
    if isinstance(rule, Window):
        return linear(pixels, rule)
    return linear(pixels, Window(0, 2**bits - 1))


def _grey(file: FileDataset, stored: np.ndarray, bits: int, rule: Rule) -> np.ndarray:
    """Stored values, integers [rows, columns], as uint8."""
    padding = _padding(file, stored)
    values = _rescaled(file, stored)
    if isinstance(rule, Window):
        pixels = linear(values, rule)
    else:
        pixels = _declared(file, values) if rule == DECLARED else None
        if pixels is None and rule == DECLARED and values is stored and bits <= 8 and stored.dtype.kind == "u":
            pixels = linear(values, Window(0, 2**bits - 1))
        if pixels is None:
            pixels = linear(values, extremes(values[~padding]))
    if file.PhotometricInterpretation == "MONOCHROME1":
        pixels = 255 - pixels
    pixels[padding] = 0
    return pixels


def _padding(file: FileDataset, stored: np.ndarray) -> np.ndarray:
    """Where the file marks pixels as no part of the image: bool [rows, columns]."""
    value, limit = file.get("PixelPaddingValue"), file.get("PixelPaddingRangeLimit")
    if value is None:
        return np.zeros(stored.shape, bool)
    ends = [_as_stored(int(end), stored.dtype) for end in (value, value if limit is None else limit)]
    return (stored >= min(ends)) & (stored <= max(ends))


def _as_stored(value: int, dtype: np.dtype) -> int:
    """A value in the sign of the stored ones: scanners write -2000 as 63536 beside pixels of signed 16 bits.

    One that these bits do not hold in either sign stays as it is, and is no pixel's: fewer bits would make it another.
    """
    bits = 8 * dtype.itemsize
    if not -(1 << bits - 1) <= value < 1 << bits:
        return value
    value &= (1 << bits) - 1
    return value - (1 << bits) if dtype.kind == "i" and value >> bits - 1 else value


def _rescaled(file: FileDataset, stored: np.ndarray) -> np.ndarray:
    """The values that the file means; `stored` itself if they are these."""
    if file.get("ModalityLUTSequence"):
        item = file.ModalityLUTSequence[0]
        return _look_up(file, item.LUTDescriptor, item.LUTData, stored)[0]
    slope, intercept = (
        _find(file, "PixelValueTransformationSequence", name) for name in ("RescaleSlope", "RescaleIntercept")
    )
    slope, intercept = 1.0 if slope is None else float(slope), float(intercept or 0)
    if not (math.isfinite(slope) and math.isfinite(intercept) and slope):
        raise Unreadable(f"DICOM with the impossible rescale {slope:g} * value + {intercept:g}")
    return stored if (slope, intercept) == (1, 0) else stored * slope + intercept


def _declared(file: FileDataset, values: np.ndarray) -> np.ndarray | None:
    """Values through the file's first VOI LUT, else its first window, as uint8; None if it has neither."""
    tables = file.get("VOILUTSequence") or _find(file, "FrameVOILUTSequence", "VOILUTSequence")
    if tables:
        found, declared, needed = _look_up(file, tables[0].LUTDescriptor, tables[0].LUTData, values)
        bits = max(8, needed) if declared == 16 else max(declared, needed)  # the standard knows none below 8
        return linear(found, Window(0, 2**bits - 1))
    centre, width, function = (
        _find(file, "FrameVOILUTSequence", name) for name in ("WindowCenter", "WindowWidth", "VOILUTFunction")
    )
    if centre is None or width is None:
        return None
    return declared_window(values, float(centre), float(width), str(function or "LINEAR").upper())


def _find(file: FileDataset, macro: str, name: str) -> Any:
    """The (first) value of an element of the file, else of its frame's or the shared functional groups; else None."""
    places = [file]
    for groups in ("PerFrameFunctionalGroupsSequence", "SharedFunctionalGroupsSequence"):
        for group in (file.get(groups) or [])[:1]:
            places += (group.get(macro) or [])[:1]
    for place in places:
        value = place.get(name)
        if value is not None and value != "":
            return value[0] if isinstance(value, pydicom.multival.MultiValue) else value
    return None


def _look_up(file: FileDataset, descriptor: Any, data: Any, values: np.ndarray) -> tuple[np.ndarray, int, int]:
    """Values through a lookup table (PS3.3 C.11.1.1, C.11.2.1.1, C.7.6.3.1.5).

    With them the bits of the table's entries: as declared, and as its greatest needs.
    """
    count, first, bits = (int(number) & 0xFFFF for number in descriptor)
    if first > 0x7FFF and values.min() < 0:  # the standard leaves it to the values whether this number has a sign
        first -= 0x10000
    if isinstance(data, bytes):
        count = count or 0x10000
        packed = bits <= 8 and len(data) <= count + 1
        data = np.frombuffer(data, "u1" if packed else "<u2" if file.original_encoding[1] else ">u2")[:count]
    table = np.atleast_1d(np.asarray(data)).astype(np.int64) & 0xFFFF
    index = (np.rint(values) - first).clip(0, len(table) - 1).astype(np.int64)
    return table[index], bits, int(table.max()).bit_length()
