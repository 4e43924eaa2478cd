"""A tree of images as nobody wants it: what can be used is in the pack, the rest is in rejected.csv with its reason."""

from __future__ import annotations

import csv
import errno
import io
import json
import os
import shutil
import zlib
from pathlib import Path

import numpy as np
import pytest
from conftest import config, photograph
from PIL import Image

from noisewise.data.pack import Pack
from noisewise.data.prepare import prepare
from noisewise.data.summary import describe
from noisewise.errors import RunError
from noisewise.runs.config import Source

RNG = np.random.default_rng(5)


def picture(height: int = 30, width: int = 40) -> Image.Image:
    return Image.fromarray(photograph(RNG, height, width))


def encoded(image: Image.Image, format: str, **how) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format, **how)
    return buffer.getvalue()


def bomb() -> bytes:
    """A PNG that says it has 20,000 x 20,000 pixels, in a few kilobytes."""
    whole = encoded(Image.new("1", (20_000, 1)), "PNG")
    start = whole.index(b"IHDR")
    header = b"IHDR" + (20_000).to_bytes(4, "big") * 2 + whole[start + 12 : start + 17]
    return whole[:start] + header + zlib.crc32(header).to_bytes(4, "big") + whole[start + 21 :]


def rotated() -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6  # a quarter turn
    return encoded(picture(), "JPEG", exif=exif)


def animation(format: str) -> bytes:
    return encoded(picture(), format, save_all=True, append_images=[picture(), picture()])


GOOD = {
    "name with spaces.png": lambda: encoded(picture(), "PNG"),
    'it\'s "quoted", comma.png': lambda: encoded(picture(), "PNG"),
    "снимок-写真-øé.jpg": lambda: encoded(picture(), "JPEG"),
    os.fsdecode(b"latin-\xe9.png"): lambda: encoded(picture(), "PNG"),
    "Same.png": lambda: encoded(picture(), "PNG"),
    "same.png": lambda: encoded(picture(), "PNG"),
    "cmyk.jpg": lambda: encoded(picture().convert("CMYK"), "JPEG"),
    "turned.jpg": rotated,
    "no suffix": lambda: encoded(picture(), "TIFF"),
    "line\nbreak.bmp": lambda: encoded(picture(), "BMP"),
}
BAD = {
    "empty.png": (lambda: b"", "empty"),
    "text.jpg": (lambda: b"these are not pixels\n", "not an image"),
    "notes.txt": (lambda: b"nor are these\n", "not an image"),
    "dot.png": (lambda: encoded(picture(1, 1), "PNG"), "1 x 1 pixels"),
    "bomb.png": (bomb, "20000 x 20000 pixels"),
    "film.gif": (lambda: animation("GIF"), "3 frames"),
    "stack.tif": (lambda: animation("TIFF"), "3 frames"),
    "half.jpg": (lambda: encoded(picture(200, 300), "JPEG")[:2000], "truncated"),
    "half.png": (lambda: encoded(picture(200, 300), "PNG")[:2000], "truncated"),
}


@pytest.fixture(scope="module")
def hostile(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("hostile") / "tree"
    for name in ("Ä class", "b"):
        (root / name).mkdir(parents=True)
        for number in range(8):
            picture().save(root / name / f"{number}.png")
    for name, make in (*GOOD.items(), *((name, make) for name, (make, _) in BAD.items())):
        (root / "b" / name).write_bytes(make())
    (root / "b" / "deeper").mkdir()
    (root / "b" / "deeper" / "back up").symlink_to(root / "b")
    (root / "b" / "round").symlink_to(root / "b" / "round")
    (root / "b" / "gone.png").symlink_to(root / "b" / "nowhere.png")
    (root / "b" / ".hidden.png").write_bytes(b"")
    (root / "b" / "Thumbs.db").write_bytes(b"")
    return root


@pytest.fixture(scope="module")
def pack(hostile) -> Pack:
    return prepare(config(source=Source(root="tree"), size=24, max_rejected=0.5), hostile.parent)


def paths_in(path: Path) -> dict[str, dict[str, str]]:
    with open(path, newline="", encoding="utf-8") as file:
        return {row["path"]: row for row in csv.DictReader(file)}


def test_what_can_be_used_is_in_the_pack(pack):
    held = paths_in(pack.folder / "samples.csv")
    expected = {f"b/{name}".encode(errors="backslashreplace").decode() for name in GOOD}
    assert json.loads((pack.folder / "manifest.json").read_bytes())["count"] == len(pack)
    assert expected <= held.keys() and len(pack) == len(held) == 16 + len(GOOD)
    assert pack.classes == ["b", "Ä class"]


def test_the_rest_is_listed_with_its_reason(pack):
    reasons = {path: row["reason"] for path, row in paths_in(pack.folder / "rejected.csv").items()}
    for name, (_, words) in BAD.items():
        assert words in reasons.pop(f"b/{name}")
    assert "No such file" in reasons.pop("b/gone.png")
    assert "symbolic links" in reasons.pop("b/round")
    assert reasons == {}


def test_summary_and_sheets_survive_such_names(pack):
    text = "\n".join(describe(pack))
    assert f"{len(BAD) + 2} files could not be used" in text and "Ä class" in text
    sheets = sorted(path.name for path in (pack.folder / "sheets").iterdir())
    assert sheets == ["00-b.png", "01-Ä_class.png"]


def test_unreadable_by_permission(tmp_path, monkeypatch):
    """As root every file can be read, so that the refusal is made up."""
    for number in range(30):
        folder = tmp_path / "set" / "ab"[number % 2]
        folder.mkdir(parents=True, exist_ok=True)
        picture().save(folder / f"{number}.png")
    read = Path.read_bytes

    def refuse(path: Path) -> bytes:
        if path.name == "7.png":
            raise PermissionError(13, "Permission denied", str(path))
        return read(path)

    monkeypatch.setattr(Path, "read_bytes", refuse)
    found = prepare(config(source=Source(root="set"), size=24, max_rejected=0.5), tmp_path)
    assert {path: row["reason"] for path, row in paths_in(found.folder / "rejected.csv").items()} == {
        "b/7.png": "Permission denied"
    }


def test_names_that_are_not_utf_8_stand_for_classes_and_copies(tmp_path):
    for number in range(40):
        folder = tmp_path / "set" / os.fsdecode([b"caf\xe9", b"tea"][number % 2])
        folder.mkdir(parents=True, exist_ok=True)
        picture().save(folder / f"{number}.png")
    odd = tmp_path / "set" / "tea" / os.fsdecode(b"\xff.png")
    shutil.copyfile(next((tmp_path / "set" / os.fsdecode(b"caf\xe9")).iterdir()), odd)
    pack = prepare(config(source=Source(root="set"), size=24), tmp_path)
    assert pack.classes == ["caf\\udce9", "tea"]
    assert any("tea/\\udcff.png" in note for note in pack.manifest["notes"])
    assert "caf\\udce9" in "\n".join(describe(pack))


@pytest.mark.parametrize("number", [errno.EIO, errno.ESTALE, errno.EMFILE])
def test_an_error_of_the_disk_loses_no_image(tmp_path, monkeypatch, number):
    for count in range(30):
        folder = tmp_path / "set" / "ab"[count % 2]
        folder.mkdir(parents=True, exist_ok=True)
        picture().save(folder / f"{count}.png")
    read, broken = Path.read_bytes, True

    def fail(path: Path) -> bytes:
        if path.name == "7.png" and broken:
            raise OSError(number, os.strerror(number), str(path))
        return read(path)

    monkeypatch.setattr(Path, "read_bytes", fail)
    run = config(source=Source(root="set"), size=24, max_rejected=0.5)
    with pytest.raises(OSError, match="7.png"):
        prepare(run, tmp_path)
    broken = False
    assert len(prepare(run, tmp_path)) == 30


def test_sizes_that_would_take_all_memory(tmp_path):
    """A line of 200,000 pixels, which padding would make a square of; a file of 3 GB without a byte in it."""
    for number in range(30):
        folder = tmp_path / "set" / "ab"[number % 2]
        folder.mkdir(parents=True, exist_ok=True)
        picture().save(folder / f"{number}.png")
    Image.new("L", (200_000, 4), 200).save(tmp_path / "set" / "a" / "line.png")
    with open(tmp_path / "set" / "a" / "huge.tif", "wb") as file:
        file.truncate(3_000_000_000)
    pack = prepare(config(source=Source(root="set"), size=24, fit="pad", max_rejected=0.5), tmp_path)
    reasons = {path: row["reason"] for path, row in paths_in(pack.folder / "rejected.csv").items()}
    assert len(pack) == 31 and list(reasons) == ["a/huge.tif"] and reasons["a/huge.tif"].startswith("3.0 GB")


def test_images_of_a_table_that_are_missing(tmp_path):
    """What no file can be named, a folder, and a file that is gone."""
    names = [f"{number}.png" for number in range(30)]
    for name in names:
        picture().save(tmp_path / name)
    lines = [f"{name},{'ab'[number % 2]}" for number, name in enumerate([*names, "gone.png", "folder", "n" * 300])]
    (tmp_path / "folder").mkdir()
    (tmp_path / "table.csv").write_text("\n".join(["image,label", *lines]))
    source = Source(kind="csv", root="table.csv")
    found = prepare(config(source=source, size=24, max_rejected=0.5), tmp_path)
    assert {path: row["reason"] for path, row in paths_in(found.folder / "rejected.csv").items()} == {
        "folder": "Is a directory",
        "gone.png": "No such file or directory",
        "n" * 300: "File name too long",
    }


def test_class_folders_that_differ_in_case_only_are_refused(hostile, tmp_path):
    shutil.copytree(hostile / "b", tmp_path / "tree" / "b", symlinks=True)
    shutil.copytree(hostile / "Ä class", tmp_path / "tree" / "B")
    with pytest.raises(RunError, match="'B' and 'b'"):
        prepare(config(source=Source(root="tree")), tmp_path)
