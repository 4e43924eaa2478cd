from __future__ import annotations

import csv
import hashlib
import json
import resource
import shutil
import subprocess
import sys
import threading
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import config, photograph
from PIL import Image

from noisewise.data.images import open_square
from noisewise.data.pack import Pack, pack_folder
from noisewise.data.prepare import prepare
from noisewise.errors import RunError, UserError
from noisewise.runs.config import Source, Split

LIB = Path(__file__).resolve().parents[2] / "lib"


@pytest.fixture
def data(dataset, tmp_path):
    """A data folder of the test's own, with a copy of the shared pictures."""
    shutil.copytree(dataset / "pictures", tmp_path / "pictures")
    return tmp_path


def left_behind(data: Path) -> list[str]:
    return sorted(path.name for path in (data / "packs").glob("*")) if (data / "packs").exists() else []


def sources(data: Path) -> list[Path]:
    return sorted((data / "pictures").rglob("*.*"))


def ffcv_pixels(pack: Pack) -> np.ndarray:
    """Every image of a pack as FFCV's own Loader reads it."""
    from ffcv.fields.decoders import SimpleRGBImageDecoder
    from ffcv.loader import Loader

    threads = torch.get_num_threads()
    loader = Loader(
        str(pack.beton), batch_size=32, num_workers=1, drop_last=False, pipelines={"image": [SimpleRGBImageDecoder()]}
    )
    found = np.concatenate([images.copy() for (images,) in loader])
    torch.set_num_threads(threads)
    return found


def test_raw_pixels_are_exactly_the_resized_images(raw_pack, dataset):
    expected = np.stack([open_square(path, 48, "resize") for path in sources(dataset)])
    assert (ffcv_pixels(raw_pack) == expected).all()
    train = expected[raw_pack.indices("train")] / 255
    assert np.allclose(raw_pack.manifest["mean"], train.mean(axis=(0, 1, 2)), atol=1e-5)
    assert np.allclose(raw_pack.manifest["std"], train.std(axis=(0, 1, 2)), atol=1e-5)


def test_jpeg_pixels_are_near_the_resized_images(jpeg_pack, dataset):
    """Quality 95 on small, colourful pictures: 3 of 255 on average, 30 at most."""
    expected = np.stack([open_square(path, 48, "resize") for path in sources(dataset)]).astype(int)
    difference = np.abs(ffcv_pixels(jpeg_pack) - expected)
    assert difference.mean() < 3 and difference.max() < 30
    assert jpeg_pack.beton.stat().st_size < 5e6


def test_index_says_what_went_in(raw_pack, jpeg_pack, dataset):
    with open(raw_pack.folder / "samples.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    files = sources(dataset)
    assert [row["path"] for row in rows] == [path.relative_to(dataset / "pictures").as_posix() for path in files]
    assert [row["class"] for row in rows] == [path.parent.name for path in files]
    assert rows[7]["sha256"] == hashlib.sha256(files[7].read_bytes()).hexdigest()
    assert [row["split"] for row in rows] == raw_pack.split.tolist()
    assert [raw_pack.classes[label] for label in raw_pack.labels] == [path.parent.name for path in files]
    assert sum(len(raw_pack.indices(split)) for split in ("train", "val", "test")) == len(raw_pack) == 120
    assert raw_pack.content == jpeg_pack.content and raw_pack.folder != jpeg_pack.folder


def test_preparing_again_does_nothing(raw_pack, dataset):
    before = raw_pack.beton.stat().st_mtime_ns
    told = []
    again = prepare(config(), dataset, lambda *place: told.append(place))
    assert again.folder == raw_pack.folder and not told
    assert again.beton.stat().st_mtime_ns == before


def test_progress_and_another_place_give_the_same_pack(data, raw_pack):
    told = []
    pack = prepare(config(), data, lambda *place: told.append(place))
    assert told == [(done, 120) for done in range(1, 121)]
    assert left_behind(data) == [pack.folder.name]
    assert pack.content == raw_pack.content
    assert pack.beton.read_bytes() == raw_pack.beton.read_bytes()


def test_opening_needs_neither_torch_nor_ffcv(raw_pack):
    code = (
        "import sys; from pathlib import Path; from noisewise.data.pack import Pack\n"
        f"pack = Pack.open(Path({str(raw_pack.folder)!r})); print(len(pack.labels), len(pack.indices('val')))\n"
        "print([name for name in ('torch', 'ffcv', 'numba', 'cv2') if name in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], env={"PYTHONPATH": str(LIB)}, capture_output=True, text=True)
    assert found.stdout == f"120 {len(raw_pack.indices('val'))}\n[]\n", found.stderr


def rejected(folder: Path) -> dict[str, str]:
    with open(folder / "rejected.csv", newline="") as file:
        return {row["path"]: row["reason"] for row in csv.DictReader(file)}


def test_bad_images_are_listed_and_left_out_up_to_a_share(data, raw_pack):
    files = sources(data)
    bad = {path.relative_to(data / "pictures").as_posix() for path in (files[3], files[50], files[90])}
    for path in (files[3], files[50], files[90]):
        path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(RunError, match="3 of 120 files cannot be used, more than max_rejected=0.01") as error:
        prepare(config(), data)
    assert error.value.kind == "data" and all(name in error.value.message for name in bad)
    folder = pack_folder(data, config())
    assert not folder.exists() and rejected(folder.with_name(f"{folder.name}.part")).keys() == bad

    told = []
    pack = prepare(config(max_rejected=0.03), data, lambda *place: told.append(place))
    assert told == [(117, 120), (118, 120), (119, 120), (120, 120)], "the others are not converted again"
    assert rejected(pack.folder).keys() == bad and pack.manifest["rejected"] == 3 and len(pack) == 117
    usable = [path for path in files if path.relative_to(data / "pictures").as_posix() not in bad]
    assert (ffcv_pixels(pack) == np.stack([open_square(path, 48, "resize") for path in usable])).all()
    assert [pack.classes[label] for label in pack.labels] == [path.parent.name for path in usable]
    of_whole = dict(zip(files, raw_pack.split, strict=True)) if len(files) == len(raw_pack) else {}
    assert pack.split.tolist() == [of_whole[path] for path in usable], "a bad file moves no other"
    assert rejected(raw_pack.folder) == {}


def test_mended_images_are_taken_in_and_the_others_not_converted_again(data, raw_pack):
    files = sources(data)
    whole = files[90].read_bytes()
    files[90].write_bytes(b"")
    for path in files[:5]:
        path.write_bytes(b"no image")
    with pytest.raises(RunError, match="6 of 120"):
        prepare(config(), data)
    for path, original in zip(files[:5], sources(raw_pack.folder.parents[1])[:5], strict=True):
        shutil.copyfile(original, path)
    files[90].write_bytes(whole)
    told = []
    pack = prepare(config(), data, lambda *place: told.append(place))
    assert told == [(done, 120) for done in range(114, 121)]
    assert pack.manifest["hash"] == raw_pack.manifest["hash"]
    assert (ffcv_pixels(pack) == ffcv_pixels(raw_pack)).all()


def test_images_of_every_kind_in_one_pack(tmp_path):
    rng = np.random.default_rng(0)
    for number in range(12):
        folder = tmp_path / "set" / "ab"[number % 2]
        folder.mkdir(parents=True, exist_ok=True)
        image = Image.fromarray(photograph(rng, 30, 40))
        deep = Image.fromarray(rng.integers(0, 65536, (30, 40)).astype(np.uint16))
        kinds = [image, image.convert("L"), image.quantize(8), image.convert("RGBA"), deep, image.convert("1")]
        kinds[number // 2].save(folder / f"{number}.png")
    pack = prepare(config(source=Source(root="set"), size=16), tmp_path)
    assert len(pack) == 12 and ffcv_pixels(pack).shape == (12, 16, 16, 3)


@pytest.mark.parametrize("moment", [1, 60, 120])
def test_two_at_once_do_not_meet(data, raw_pack, moment):
    """While one is at work, another that wants the same pack waits for it."""
    found, others = [], []

    def interfere(done: int, count: int) -> None:
        if done == moment:
            others.append(threading.Thread(target=lambda: found.append(prepare(config(), data))))
            others[0].start()

    pack = prepare(config(), data, interfere)
    others[0].join()
    assert left_behind(data) == [pack.folder.name] and found[0].folder == pack.folder
    assert pack.beton.read_bytes() == raw_pack.beton.read_bytes()


@contextmanager
def files_limited(limit: int):
    """No file may grow beyond `limit` bytes, as on a disk that is full."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("limit", [1_000, 1_000_000, 3_000_000, 4_195_000])
def test_disk_that_fills_up_raises_and_the_next_attempt_succeeds(data, raw_pack, limit):
    """The beton has a header, padding to 2 MiB, one page and a table; the limits are within each."""
    with files_limited(limit), pytest.raises(OSError):
        prepare(config(), data)
    assert not pack_folder(data, config()).exists()
    pack = prepare(config(), data)
    assert pack.beton.read_bytes() == raw_pack.beton.read_bytes() and left_behind(data) == [pack.folder.name]


def test_hash_is_of_what_decides_the_pack(data, raw_pack):
    same = prepare(config(quality=90, max_rejected=0.5), data).manifest
    other = prepare(config(fit="pad"), data).manifest
    assert same["hash"] == raw_pack.manifest["hash"] != other["hash"]
    assert {"pillow", "torch", "ffcv"} <= same["decoders"].keys()


def test_two_people_get_the_same_manifest_hash(data, raw_pack, tmp_path):
    """Another place, another order of files on the disk, other times: the same images make the same manifest."""
    elsewhere = tmp_path / "other" / "deep"
    for path in reversed(sources(data)):
        target = elsewhere / path.relative_to(data / "pictures")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)
    mine = prepare(config(), data).manifest
    theirs = prepare(config(source=Source(root=str(elsewhere))), tmp_path).manifest
    assert mine == theirs == raw_pack.manifest
    changed = next(elsewhere.rglob("*.png"))
    Image.open(changed).rotate(90).save(changed)
    other = prepare(config(dataset="again", source=Source(root=str(elsewhere))), tmp_path).manifest
    assert other["hash"] != mine["hash"] != prepare(config(fit="pad"), data).manifest["hash"]


def test_copies_across_an_official_split_are_told_of(tmp_path, dataset):
    """Two files each in train and test, and two in train alone: three copies of one content, two of another."""
    for number, path in enumerate(sources(dataset)):
        target = tmp_path / "set" / ("test" if number % 4 == 0 else "train") / path.parent.name / path.name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)
    train, test = sorted((tmp_path / "set/train/ant").iterdir()), sorted((tmp_path / "set/test/ant").iterdir())
    for original, copy in ((train[0], test[0]), (train[0], train[1]), (train[2], test[1]), (train[3], train[4])):
        shutil.copyfile(original, copy)
    pack = prepare(config(source=Source(root="set"), split=Split(val=0.3)), tmp_path)
    whose, note = pack.manifest["notes"]
    assert whose == "it is not known whose images these are: images of one patient may be in two splits"
    assert note.startswith("5 files have a copy in another split, such as ")
    assert all(path.relative_to(tmp_path / "set").as_posix() in note for path in (train[0], test[0]))


def test_a_cut_of_ours_does_not_part_copies_and_two_labels_are_told_of(data):
    files = sources(data)
    for number in range(1, 12):
        shutil.copyfile(files[0], files[number])
    shutil.copyfile(files[0], files[-1])  # another class
    pack = prepare(config(), data)
    assert len(set(pack.split[[*range(12), 119]])) == 1
    _, note = pack.manifest["notes"]
    assert note.startswith("13 files have a copy under another label") and "ant/" in note and "cat/" in note


@pytest.fixture
def tiny_disk(tmp_path, monkeypatch):
    """A file system of 3 MB; where none may be mounted, one that says it is as small."""
    folder = tmp_path / "tiny"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(folder)]
    if shutil.which("mount") and subprocess.run(mount, capture_output=True).returncode == 0:
        yield folder
        subprocess.run(["umount", str(folder)], check=True)
        return
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=3_000_000))
    with files_limited(3_000_000):
        yield folder


def test_small_disk(tiny_disk, dataset):
    """A pack that cannot fit is refused at once; one whose last page does not fit fails on the way."""
    source = Source(root=str(dataset / "pictures"))
    for size in (256, 48):
        with pytest.raises(OSError) as error:
            prepare(config(source=source, size=size), tiny_disk)
        assert "needs 0.02 GB" in str(error.value) or size == 48
        assert not [name for name in left_behind(tiny_disk) if not name.endswith(".part")]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"fit": "stretch"}, "unknown fit 'stretch'"),
        ({"format": "jpg"}, "unknown format 'jpg'. Did you mean 'jpeg'?"),
        ({"size": 0}, "size=0"),
        ({"quality": 101}, "quality=101"),
    ],
)
def test_settings_that_no_pack_can_have(dataset, changes, words):
    with pytest.raises(UserError, match=words.replace("?", r"\?")):
        prepare(config(**changes), dataset)


def test_class_too_small_for_its_splits_is_named_before_any_conversion(data):
    for path in sorted((data / "pictures" / "bee").iterdir())[2:]:
        path.unlink()
    with pytest.raises(RunError, match="class 'bee' has 2 images"):
        prepare(config(split=Split(seed=3)), data)
    assert left_behind(data) == []


@pytest.fixture
def copied(raw_pack, tmp_path):
    return Path(shutil.copytree(raw_pack.folder, tmp_path / "pack"))


def test_pack_that_is_not_whole_is_refused(copied):
    beton = copied / "images.beton"
    whole = beton.read_bytes()
    beton.write_bytes(whole[:-1])
    with pytest.raises(RunError, match="images.beton has .* it is not whole"):
        Pack.open(copied)
    beton.unlink()
    with pytest.raises(RunError, match="images.beton is missing"):
        Pack.open(copied)
    beton.write_bytes(whole)
    assert len(Pack.open(copied)) == 120


@pytest.mark.parametrize("name", ["arrays.npz", "samples.csv"])
def test_index_that_was_changed_is_refused(copied, name):
    changed = bytearray((copied / name).read_bytes())
    changed[len(changed) // 2] ^= 1
    (copied / name).write_bytes(changed)
    with pytest.raises(RunError, match=f"{name} is not the file") as error:
        Pack.open(copied)
    assert error.value.kind == "data" and f"Remove {copied} and submit again" in error.value.advice


@pytest.mark.parametrize(("text", "words"), [("{", "is damaged"), (json.dumps({"version": 0}), "another version")])
def test_manifest_of_another_kind_is_refused(copied, text, words):
    (copied / "manifest.json").write_text(text)
    with pytest.raises(RunError, match=words):
        Pack.open(copied)


def test_pack_folder_without_a_manifest_is_not_overwritten(data):
    folder = pack_folder(data, config())
    folder.mkdir(parents=True)
    with pytest.raises(RunError, match="without its manifest.json") as error:
        prepare(config(), data)
    assert error.value.advice.startswith(f"Remove {folder} and submit again")
    assert left_behind(data) == [folder.name]
