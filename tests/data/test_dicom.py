"""DICOM files made here, against what the standard says."""

from __future__ import annotations

import re
import struct
from io import BytesIO

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import HTJ2K, MPEG4HP41, ExplicitVRBigEndian, ExplicitVRLittleEndian, generate_uid

from noisewise.data.images import Unreadable, decode


def made(values, syntax=ExplicitVRLittleEndian, preamble=True, **elements):
    """A DICOM file with these pixels, integers [rows, columns] or [rows, columns, 3]."""
    file = Dataset()
    file.file_meta = FileMetaDataset()
    file.file_meta.TransferSyntaxUID = syntax
    file.file_meta.MediaStorageSOPClassUID = file.SOPClassUID = "1.2.840.10008.5.1.4.1.1.7"
    file.file_meta.MediaStorageSOPInstanceUID = file.SOPInstanceUID = generate_uid(entropy_srcs=["noisewise"])
    file.Rows, file.Columns = values.shape[:2]
    file.SamplesPerPixel = 3 if values.ndim == 3 else 1
    file.PhotometricInterpretation = "RGB" if values.ndim == 3 else "MONOCHROME2"
    if values.ndim == 3:
        file.PlanarConfiguration = 0
    file.BitsAllocated = file.BitsStored = values.itemsize * 8
    file.PixelRepresentation = int(values.dtype.kind == "i")
    for name, value in elements.items():
        setattr(file, name, value)
    file.HighBit = elements.get("HighBit", file.BitsStored - 1)
    order = ">" if syntax == ExplicitVRBigEndian else "<"
    if "PixelData" not in file:
        file.PixelData = values.astype(values.dtype.newbyteorder(order)).tobytes()
    file["PixelData"].VR = "OB" if values.itemsize == 1 else "OW"
    file["PixelData"].is_undefined_length = syntax.is_encapsulated
    buffer = BytesIO()
    if preamble:
        pydicom.dcmwrite(buffer, file, enforce_file_format=True)
    else:
        del file.file_meta
        pydicom.dcmwrite(buffer, file, implicit_vr=True, little_endian=True)
    return buffer.getvalue()


HOUNSFIELD = np.array([[-1024, -160, 40, 240, 3071, 0]] * 6, np.int16)


def row(content, intensity="declared"):
    found = decode(content, intensity).pixels
    assert (found == found[:1]).all() and (found == found[..., :1]).all()
    return found[0, :, 0].tolist()


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ExplicitVRBigEndian])
def test_the_rules_act_on_rescaled_values(syntax):
    content = made((HOUNSFIELD + 1024).astype(np.uint16), syntax, RescaleSlope="1", RescaleIntercept="-1024")
    assert row(content, "-160:240") == [0, 0, 128, 255, 255, 102]
    assert row(content) == row(content, "stretch") == [0, 54, 66, 79, 255, 64]
    windowed = made(HOUNSFIELD, syntax, WindowCenter=["40.5", "300"], WindowWidth=["401", "2000"])
    assert row(windowed) == [0, 0, 128, 255, 255, 102]
    assert row(windowed, "stretch") == [0, 54, 66, 79, 255, 64]


def test_window_functions_are_read():
    exact = made(HOUNSFIELD, WindowCenter="40", WindowWidth="400", VOILUTFunction="LINEAR_EXACT")
    assert row(exact) == [0, 0, 128, 255, 255, 102]
    sigmoid = made(HOUNSFIELD, WindowCenter="40", WindowWidth="400", VOILUTFunction="SIGMOID")
    assert row(sigmoid) == [round(255 / (1 + np.exp(-(x - 40) / 100))) for x in HOUNSFIELD[0].astype(float)]


def test_a_window_that_the_standard_forbids_counts_as_none():
    assert row(made(HOUNSFIELD, WindowCenter="40", WindowWidth="0")) == row(made(HOUNSFIELD))


@pytest.mark.parametrize("rule", ["declared", "stretch", "-160:240"])
def test_monochrome1_is_the_negative(rule):
    positive, negative = (
        row(made(HOUNSFIELD, PhotometricInterpretation=space), rule) for space in ("MONOCHROME2", "MONOCHROME1")
    )
    assert [255 - value for value in positive] == negative


@pytest.mark.parametrize("space", ["MONOCHROME1", "MONOCHROME2"])
@pytest.mark.parametrize("rule", ["declared", "stretch"])
def test_padding_decides_nothing_and_is_black(space, rule):
    values = np.array([[-2000, -1999, 0, 50, 100]] * 5, np.int16)
    content = made(values, PixelPaddingValue=-2000, PixelPaddingRangeLimit=-1990, PhotometricInterpretation=space)
    inside = [0, 128, 255] if space == "MONOCHROME2" else [255, 127, 0]
    assert row(content, rule) == [0, 0, *inside]
    assert row(made(values * 0 - 2000, PixelPaddingValue=-2000), rule) == [0] * 5


def rewritten(content, name, sign, value):
    """The file with an element of one number, 16 bits, in a sign that pydicom would not write."""
    group, element = divmod(int(pydicom.datadict.tag_for_keyword(name)), 0x10000)
    place = content.index(struct.pack("<HH", group, element))
    number = struct.pack("<HH" if sign == "US" else "<Hh", 2, value)
    return content[: place + 4] + sign.encode() + number + content[place + 10 :]


@pytest.mark.parametrize("rule", ["declared", "stretch"])
@pytest.mark.parametrize(
    "kind, sign, first, last",
    [(np.int16, "US", 63536, 63546), (np.int16, "SS", -2000, -1990), (np.uint16, "SS", -2000, -1990)],
)
def test_padding_is_known_in_either_sign(kind, sign, first, last, rule):
    shift = 0 if kind == np.int16 else 2**16
    values = np.array([[-2000 + shift, -1990 + shift, 0, 50, 100]] * 5).astype(kind)
    ends = {"PixelPaddingValue": int(values[0, 0]), "PixelPaddingRangeLimit": int(values[0, 1])}
    content = made(values, **ends)
    for name, value in zip(ends, (first, last), strict=True):
        content = rewritten(content, name, sign, value)
    assert row(content, rule) == [0, 0, 0, 128, 255]
    alone = made(values[:, [0, 2, 3, 4]], PixelPaddingValue=ends["PixelPaddingValue"])
    assert row(rewritten(alone, "PixelPaddingValue", sign, first), rule) == [0, 0, 128, 255]


def test_padding_that_pixels_cannot_hold_is_none_of_them():
    values = np.array([[0, 48, 200, 255]] * 4, np.uint8)  # 48 is what 8 bits keep of -2000
    content = rewritten(made(values, PixelPaddingValue=255), "PixelPaddingValue", "SS", -2000)
    assert row(content) == [0, 48, 200, 255]


@pytest.mark.parametrize("kind, bits", [(np.uint16, 12), (np.int16, 12)])
def test_overlays_in_unused_bits_are_ignored(kind, bits):
    values = np.array([[-5, 0, 100, 2000]] * 4) + (5 if kind == np.uint16 else 0)
    soiled = (values & 0xFFF | 0xA000).astype(np.uint16).view(kind)
    assert row(made(soiled, BitsStored=bits), "0:2000") == row(made(values.astype(kind)), "0:2000")


def test_8_bits_that_nothing_rescales_stay_as_they_are_unless_asked():
    values = np.array([[10, 60, 110, 210]] * 4, np.uint8)
    assert row(made(values)) == [10, 60, 110, 210]
    assert row(made(values), "stretch") == [0, 64, 128, 255]
    assert row(made(values), "10:110") == [0, 128, 255, 255]


def test_colours_in_both_planar_configurations_and_as_ybr():
    colours = np.arange(4 * 5 * 3, dtype=np.uint8).reshape(4, 5, 3)
    assert (decode(made(colours)).pixels == colours).all()
    planes = colours.transpose(2, 0, 1).tobytes()
    assert (decode(made(colours, PlanarConfiguration=1, PixelData=planes)).pixels == colours).all()
    grey = np.dstack([colours[..., 0], np.full((4, 5, 2), 128, np.uint8)])  # no chroma
    found = decode(made(grey, PhotometricInterpretation="YBR_FULL")).pixels
    assert np.abs(found.astype(int) - colours[..., :1]).max() <= 1
    deep = (colours.astype(np.uint16) * 16).clip(0, 4095)
    assert np.abs(decode(made(deep, BitsStored=12)).pixels - deep / 4095 * 255).max() <= 0.5


@pytest.mark.parametrize("entry", ["u1", "<u2"])
def test_palettes_of_8_and_16_bits_that_start_above_zero(entry):
    table = np.arange(0, 250, 10).astype(entry) * (257 if entry == "<u2" else 1)
    elements = {}
    for colour in ("Red", "Green", "Blue"):
        elements[f"{colour}PaletteColorLookupTableDescriptor"] = [len(table), 3, table.itemsize * 8]
        elements[f"{colour}PaletteColorLookupTableData"] = table.tobytes() + b"\0" * (len(table.tobytes()) % 2)
    content = made(np.array([[0, 3, 4, 27, 200]] * 5, np.uint8), PhotometricInterpretation="PALETTE COLOR", **elements)
    assert row(content) == [0, 0, 10, 240, 240]


def test_an_enhanced_image_of_one_frame_has_its_window_in_functional_groups():
    shared, frame, rescale, window = Dataset(), Dataset(), Dataset(), Dataset()
    rescale.RescaleSlope, rescale.RescaleIntercept = "2", "-1000"
    window.WindowCenter, window.WindowWidth = "40.5", "401"
    shared.PixelValueTransformationSequence, frame.FrameVOILUTSequence = [rescale], [window]
    groups = {"SharedFunctionalGroupsSequence": [shared], "PerFrameFunctionalGroupsSequence": [frame]}
    content = made((HOUNSFIELD + 1024).astype(np.uint16) // 2, NumberOfFrames="1", **groups)
    assert row(content) == row(made((HOUNSFIELD // 2 * 2 + 24).astype(np.int16)), "-160:240")


def test_a_file_without_its_preamble_is_known_by_what_it_holds():
    assert row(made(HOUNSFIELD, preamble=False)) == row(made(HOUNSFIELD))


def without(content, name):
    file = pydicom.dcmread(BytesIO(content))
    delattr(file, name)
    buffer = BytesIO()
    pydicom.dcmwrite(buffer, file)
    return buffer.getvalue()


@pytest.mark.parametrize("space", ["monochrome2", " MONOCHROME2 ", "MONOCHROME2"])
def test_grey_is_known_however_it_is_written_and_has_one_sample(space):
    content = without(made(HOUNSFIELD, PhotometricInterpretation=space), "SamplesPerPixel")
    assert row(content) == row(made(HOUNSFIELD))
    negative = made(HOUNSFIELD, PhotometricInterpretation=space.replace("2", "1"))
    assert row(negative) == [255 - value for value in row(content)]


def test_colour_spaces_are_known_however_they_are_written():
    colours = np.arange(4 * 5 * 3, dtype=np.uint8).reshape(4, 5, 3)
    assert (decode(made(colours, PhotometricInterpretation="rgb ")).pixels == colours).all()


@pytest.mark.parametrize(
    "name",
    ["Rows", "Columns", "BitsAllocated", "BitsStored", "PixelRepresentation", "PhotometricInterpretation"],
)
def test_an_element_that_is_missing_is_named(name):
    for values in (HOUNSFIELD, HOUNSFIELD.astype(np.uint8)[..., None].repeat(3, axis=2)):
        with pytest.raises(Unreadable, match=f"^a DICOM file without {name}$"):
            decode(without(made(values), name))


@pytest.mark.parametrize("name", ["SamplesPerPixel", "PlanarConfiguration"])
def test_an_element_that_colours_need_is_named(name):
    with pytest.raises(Unreadable, match=f"^a DICOM file without {name}$"):
        decode(without(made(np.zeros((4, 5, 3), np.uint8)), name))


@pytest.mark.parametrize(
    "declared, entries, white",
    [
        (16, [0, 1024, 2048, 4095], 4095),  # the size of an entry instead of its bits
        (16, [0, 1024, 2048, 3000], 4095),
        (16, [0, 16, 100, 200], 255),
        (16, [0, 1, 2, 3], 255),  # the fewest bits of the standard
        (16, [0, 1024, 40000, 50000], 65535),
        (12, [0, 256, 512, 1000], 4095),  # dark by intent
        (8, [0, 1024, 2048, 4095], 4095),
    ],
)
def test_white_of_a_voi_lut_is_what_its_bits_hold(declared, entries, white):
    item = Dataset()
    item.LUTDescriptor = [len(entries), 100, declared]
    item.add_new("LUTData", "US", entries)
    values = np.array([[100, 101, 102, 103, 0, 900]] * 4, np.uint16)
    shown = [round(entry / white * 255) for entry in entries]
    assert row(made(values, VOILUTSequence=[item])) == [*shown, shown[0], shown[-1]]
    assert row(made(values[:, :3].repeat(2, axis=1), VOILUTSequence=[item]))[::2] == shown[:3]


@pytest.mark.parametrize(
    "elements, reason",
    [
        ({"RescaleSlope": "0", "RescaleIntercept": "3"}, "impossible rescale"),
        ({"BitsStored": 12, "HighBit": 15}, "12 stored bits do not end at bit 15"),
        ({"PhotometricInterpretation": "HSV"}, "colour space that cannot be read: HSV"),
        ({"NumberOfFrames": "7"}, "^7 frames: only single images can be used$"),
        ({"Rows": 60000, "Columns": 60000}, "^60000 x 60000 pixels: more than 200 million"),
        ({"Rows": 7}, "^truncated: 72 of 84 bytes"),
    ],
)
def test_what_cannot_be_used_says_why(elements, reason):
    with pytest.raises(Unreadable, match=reason):
        decode(made(HOUNSFIELD, **elements))


@pytest.mark.parametrize("syntax", [MPEG4HP41, HTJ2K])
def test_an_unsupported_compression_is_named(syntax):
    with pytest.raises(Unreadable, match=f"compressed in a way that cannot be decoded: {re.escape(syntax.name)}$"):
        decode(made(HOUNSFIELD, syntax, PixelData=encapsulate([b"film"])))
