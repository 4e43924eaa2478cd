"""What a person is shown of a pack: the text, and the contact sheets."""

from __future__ import annotations

import numpy as np
import pytest
from conftest import CLASSES, EACH, config
from PIL import Image

from noisewise.data.images import open_square
from noisewise.data.prepare import prepare
from noisewise.data.sheets import GAP, LINE, MARGIN, SIDE
from noisewise.data.summary import describe
from noisewise.runs.config import Split


def test_counts_add_up_and_places_are_named(raw_pack):
    lines = describe(raw_pack)
    assert lines[0].startswith("120 images in 3 classes, 48 x 48 px, raw, ")
    table = {
        line.split()[0]: [int(word) for word in line.split()[-4:]]
        for line in lines
        if line.startswith((*CLASSES, "all"))
    }
    for number, name in enumerate(CLASSES):
        assert table[name][:3] == [
            sum(raw_pack.labels[raw_pack.indices(part)] == number) for part in ("train", "val", "test")
        ]
        assert table[name][3] == EACH
    assert table["all"] == [len(raw_pack.indices(part)) for part in ("train", "val", "test")] + [120]
    assert any(line.endswith(str(raw_pack.folder)) for line in lines)
    assert any(raw_pack.manifest["hash"][:16] in line for line in lines)


def test_jpeg_pack_says_its_quality(jpeg_pack):
    assert "JPEG of quality 95" in describe(jpeg_pack)[0]


@pytest.mark.parametrize("format", ["raw", "jpeg"])
def test_contact_sheets_show_the_images_of_their_class(dataset, raw_pack, jpeg_pack, format):
    """The first training image of each class stands at the sheet's upper left, as it is in the pack."""
    pack = raw_pack if format == "raw" else jpeg_pack
    sheets = sorted((pack.folder / "sheets").iterdir())
    assert [path.name for path in sheets] == ["00-ant.png", "01-bee.png", "02-cat.png"]
    files = sorted((dataset / "pictures").rglob("*.*"))
    for number, path in enumerate(sheets):
        sheet = np.asarray(Image.open(path)).astype(int)
        row = next(row for row in pack.indices("train") if pack.labels[row] == number)
        original = Image.fromarray(open_square(files[row], 48, "resize")).resize((SIDE, SIDE), Image.Resampling.BICUBIC)
        top = MARGIN + 3 * LINE - GAP
        shown = sheet[top : top + SIDE, MARGIN : MARGIN + SIDE]
        assert np.abs(shown - np.asarray(original)).mean() < 4


def test_auto_is_raw_until_the_pixels_are_too_many(dataset, tmp_path, monkeypatch):
    (tmp_path / "pictures").symlink_to(dataset / "pictures")
    asked = config(format="auto")
    assert prepare(asked, tmp_path).format == "raw"
    monkeypatch.setattr("noisewise.data.prepare.RAW_BYTES", 120 * 48 * 48 * 3 - 1)
    other = config(format="auto", split=Split(seed=1))
    assert prepare(other, tmp_path).format == "jpeg"


def test_dark_16_bit_images_are_told_of(tmp_path):
    rng = np.random.default_rng(0)
    for number in range(20):
        folder = tmp_path / "pictures" / "ab"[number % 2]
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 4096, (20, 20)).astype(np.uint16)).save(folder / f"{number}.png")
    note = prepare(config(size=16), tmp_path).manifest["notes"][-1]
    assert note.startswith("all 20 images of more than 8 bits are dark, the brightest reaches 6.") and "0:4095" in note
    bright = prepare(config(size=16, intensity="0:4095"), tmp_path)
    assert bright.manifest["mean"][0] == pytest.approx(0.5, abs=0.02)
