"""All of pydicom's own files, against an independent reader (SimpleITK)."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import data_store
import numpy as np
import pydicom
import pytest
import SimpleITK

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
    "empty_charset_LEI.dcm": "a DICOM file without an image",
    **dict.fromkeys(["meta_missing_tsyntax.dcm", "nested_priv_SQ.dcm"], "a DICOM file without Rows"),
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


def test_many_threads_decode_at_once():
    names = ["MR_small_jpeg_ls_lossless.dcm", "MR_small_jp2klossless.dcm", "MR_small_RLE.dcm", "MR_small.dcm"] * 8
    with ThreadPoolExecutor(8) as pool:
        assert all((found == pixels("MR_small.dcm")).all() for found in pool.map(pixels, names))
