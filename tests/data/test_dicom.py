"""pydicom's own files against an independent reader (SimpleITK), and files made here against the standard."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path

import data_store
import numpy as np
import pydicom
import pytest
import SimpleITK
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import HTJ2K, MPEG4HP41, ExplicitVRBigEndian, ExplicitVRLittleEndian, generate_uid

from noisewise.data.images import Unreadable, decode

FOLDERS = (Path(pydicom.__file__).parent / "data", Path(data_store.__file__).parent / "data")
NO_FILES = {".py", ".pyc", ".txt", ".md", ".json"}
FILES = [path for folder in FOLDERS for path in sorted(folder.rglob("*")) if path.is_file()]
FILES = {path.name: path for path in FILES if path.suffix not in NO_FILES and "PT000000" not in path.parts}

NO_IMAGE = {
    "Basic Text SR": ["reportsi.dcm", "reportsi_with_empty_number_tags.dcm"],
    "Color Palette": [name for name, path in FILES.items() if path.parent.name == "palettes"],
    "Comprehensive SR": ["test-SR.dcm"],
    "Computed Radiography Image": ["chrJapMulti.dcm", "chrJapMultiExplicitIR6.dcm", "chrKoreanMulti.dcm"],
    "CT Image": ["UN_sequence.dcm"],
    "Enhanced MR Image": ["emri_small_jpeg_2k_lossless_too_short.dcm"],
    "Media Storage Directory": [name for name in FILES if name.startswith("DICOMDIR")],
    "MR Image": ["chrSQEncoding.dcm", "chrSQEncoding1.dcm", "priv_SQ.dcm"],
    "RT Image": ["no_meta_group_length.dcm"],
    "RT Ion Plan": ["ExplVR_BigEndNoMeta.dcm", "ExplVR_LitEndNoMeta.dcm"],  # no preamble
    "RT Plan": ["rtplan.dcm", "rtplan_truncated.dcm"],
    "RT Structure Set": ["rtstruct.dcm"],  # no preamble
    "12-lead ECG Waveform": ["waveform_ecg.dcm"],
}
REFUSED = {
    **{name: f"a DICOM file without an image ({kind})" for kind, names in NO_IMAGE.items() for name in names},
    **dict.fromkeys(["empty_charset_LEI.dcm", "meta_missing_tsyntax.dcm"], "a DICOM file without an image"),
    "nested_priv_SQ.dcm": "a DICOM file without an image",
    **dict.fromkeys(["crayons.icc", "README", "rtplan.dump", "rtstruct.dump", "no_meta.dcm"], "not an image"),
    "zipMR.gz": "not an image: it begins like a gzip archive",
    "badVR.dcm": "damaged: ",
    "MR_truncated.dcm": "truncated: 8130 of 8192 bytes",
    **{name: "3 x 3 pixels: too small" for name in FILES if name.startswith("SC_rgb_small_odd")},
    **dict.fromkeys(["JPEG-lossy.dcm", "JPGExtended.dcm"], "DICOM pixels that cannot be decoded (JPEG Extended"),
    "GDCMJ2K_TextGBR.dcm": "DICOM pixels that cannot be decoded (JPEG 2000",  # two faults in its header
    "JPEG2000-embedded-sequence-delimiter.dcm": "DICOM pixels that cannot be decoded (JPEG 2000",
    **{name: "2 frames: only single images" for name in FILES if "2frame" in name or name == "eCT_Supplemental.dcm"},
    **{
        name: "10 frames: only single images" for name in FILES if name.startswith("emri_small") and "short" not in name
    },
    **dict.fromkeys(["rtdose.dcm", "rtdose_expb.dcm", "rtdose_rle.dcm"], "15 frames: only single images"),
    **dict.fromkeys(["liver.dcm", "liver_expb.dcm"], "3 frames: only single images"),
    "examples_ybr_color.dcm": "30 frames: only single images",
    "color3d_jpeg_baseline.dcm": "120 frames: only single images",
}
# What SimpleITK does not read, or not rightly, and a file with the same pixels that is checked otherwise.
TWINS = {
    "SC_rgb_rle_16bit.dcm": "SC_rgb_16bit.dcm",
    "SC_rgb_rle_32bit.dcm": "SC_rgb_32bit.dcm",
    "rtdose_expb_1frame.dcm": "rtdose_1frame.dcm",
    "rtdose_rle_1frame.dcm": "rtdose_1frame.dcm",
}
BY_HAND = {"rtdose_1frame.dcm", "vlut_04.dcm"}


def pixels(name, intensity="declared"):
    return decode(FILES[name].read_bytes(), intensity).pixels


def seen_by_simpleitk(path):
    """float64 [rows, columns, 3] in [0, 255], by the formulas of the standard upon what SimpleITK reads."""
    reader = SimpleITK.ImageFileReader()
    reader.SetFileName(str(path))
    reader.SetImageIO("GDCMImageIO")
    values = SimpleITK.GetArrayFromImage(reader.Execute()).squeeze().astype(float)

    def number(tag, otherwise):
        text = reader.GetMetaData(tag).split("\\")[0].strip() if reader.HasMetaDataKey(tag) else ""
        return float(text or otherwise)

    if values.ndim == 3:
        return values if values.max() < 256 else values / (2 ** number("0028|0101", 16) - 1) * 255
    slope, intercept, bits = number("0028|1053", 1), number("0028|1052", 0), number("0028|0101", 16)
    inverted = reader.GetMetaData("0028|0004").strip() == "MONOCHROME1"
    if inverted:  # SimpleITK has inverted the stored values, before any window
        values = (2**bits - 1 - (values - intercept) / slope) * slope + intercept
    centre, width = number("0028|1050", "nan"), number("0028|1051", "nan")
    if width > 0:
        shares = (values - (centre - 0.5)) / (width - 1) + 0.5
    elif bits <= 8:
        shares = values / 255
    else:
        shares = (values - values.min()) / (values.max() - values.min())
    shares = np.clip(shares, 0, 1)
    return np.repeat(255 * (1 - shares if inverted else shares)[..., None], 3, axis=2)


def test_the_tables_name_files_that_are_there():
    assert set(REFUSED) | set(TWINS) | BY_HAND <= set(FILES) and len(FILES) > 200


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_what_is_no_single_image_is_refused_with_the_reason(name):
    with pytest.raises(Unreadable) as error:
        pixels(name)
    assert str(error.value).startswith(REFUSED[name])


@pytest.mark.parametrize("name", sorted(set(FILES) - set(REFUSED) - set(TWINS) - BY_HAND))
def test_pixels_are_those_of_simpleitk(name):
    found = pixels(name)
    assert found.dtype == np.uint8 and np.abs(found - seen_by_simpleitk(FILES[name])).max() <= 1


@pytest.mark.parametrize("name", sorted(TWINS))
def test_pixels_are_those_of_the_same_image_stored_otherwise(name):
    assert (pixels(name) == pixels(TWINS[name])).all()


def test_dose_of_32_bits_goes_from_its_least_to_its_greatest_value():
    values = pydicom.dcmread(FILES["rtdose_1frame.dcm"]).PixelData
    values = np.frombuffer(values, "<u4").reshape(10, 10).astype(float)
    expected = (values - values.min()) / (values.max() - values.min()) * 255
    assert np.abs(pixels("rtdose_1frame.dcm") - expected[..., None]).max() <= 0.5


def test_voi_lut_sequence():
    file = pydicom.dcmread(FILES["vlut_04.dcm"])
    item = file.VOILUTSequence[0]
    count, first, bits = item.LUTDescriptor
    kind = "<u2" if len(item.LUTData) == 2 * count else "u1"
    table = np.frombuffer(item.LUTData, kind) if isinstance(item.LUTData, bytes) else np.array(item.LUTData)
    stored = np.frombuffer(file.PixelData, np.uint8)[: 512 * 512].reshape(512, 512).astype(int)
    expected = table[np.clip(stored - first, 0, count - 1)] / (2**bits - 1) * 255
    assert np.abs(pixels("vlut_04.dcm") - expected[..., None]).max() <= 0.5


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


def test_many_threads_decode_at_once():
    names = ["MR_small_jpeg_ls_lossless.dcm", "MR_small_jp2klossless.dcm", "MR_small_RLE.dcm", "MR_small.dcm"] * 8
    with ThreadPoolExecutor(8) as pool:
        assert all((found == pixels("MR_small.dcm")).all() for found in pool.map(pixels, names))


SAMPLES = [made(HOUNSFIELD), made(HOUNSFIELD, preamble=False)] + [
    FILES[f"{name}.dcm"].read_bytes()
    for name in (
        "MR_small_jpeg_ls_lossless",
        "MR_small_jp2klossless",
        "SC_rgb_jpeg_gdcm",
        "SC_rgb_rle",
        "JPEGLSNearLossless_16",
    )
]


@settings(max_examples=150, deadline=None, derandomize=True)
@given(st.sampled_from(SAMPLES), st.data())
def test_damage_is_an_image_or_unreadable(content, data):
    damaged = bytearray(content[: data.draw(st.integers(0, len(content)))])
    for place in data.draw(st.lists(st.integers(0, max(len(damaged) - 1, 0)), max_size=5)) if damaged else ():
        damaged[place] ^= data.draw(st.integers(1, 255))
    try:
        found = decode(bytes(damaged)).pixels
    except Unreadable as error:
        assert str(error)
    else:
        assert found.dtype == np.uint8 and found.ndim == 3 and found.shape[2] == 3
