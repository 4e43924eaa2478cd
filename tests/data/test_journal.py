"""Conversions that end early, and the attempts that follow them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import config, photograph
from PIL import Image

from noisewise.data.pack import Pack, pack_folder
from noisewise.data.prepare import prepare
from noisewise.errors import RunError
from noisewise.runs.config import Prepare

LIB = Path(__file__).resolve().parents[2] / "lib"
COUNT, SIZE, A_PAGE = 120, 200, 17  # images, their side, and how many of them a page of 2 MiB holds
RUN: Prepare = config(size=SIZE)


@pytest.fixture
def data(tmp_path) -> Path:
    rng = np.random.default_rng(2)
    for number in range(COUNT):
        folder = tmp_path / "pictures" / "ab"[number % 2]
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(photograph(rng, 40, 50)).save(folder / f"{number:03}.png")
    return tmp_path


def sources(data: Path) -> list[Path]:
    return sorted((data / "pictures").rglob("*.png"))


def kill_at(data: Path, moment: int, run: Prepare = RUN) -> Path:
    """Prepare in another process, which is killed when so many images are done; what it leaves."""
    code = (
        "import os, signal, sys; sys.path.insert(0, sys.argv[2])\n"
        "from pathlib import Path; from noisewise.data.prepare import prepare\n"
        "import json; from noisewise.runs.config import from_dict\n"
        "kill = lambda done, of: done == int(sys.argv[3]) and os.kill(os.getpid(), signal.SIGKILL)\n"
        "prepare(from_dict(json.loads(sys.argv[4])), Path(sys.argv[1]), kill)"
    )
    from noisewise.runs.config import to_dict

    words = [str(data), str(Path(__file__).parent), str(moment), json.dumps(to_dict(run))]
    killed = subprocess.run([sys.executable, "-c", code, *words], env={"PYTHONPATH": str(LIB)}, capture_output=True)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    folder = pack_folder(data, run)
    assert not folder.exists()
    with pytest.raises(RunError, match="there is no pack"):
        Pack.open(folder)
    return folder.with_name(f"{folder.name}.part")


def finish(data: Path, run: Prepare = RUN) -> tuple[Pack, list[int]]:
    """The pack, and how many images were done whenever one more was."""
    told = []
    pack = prepare(run, data, lambda done, count: told.append(done))
    left = [path.name for path in (data / "packs").iterdir()]
    assert left == [pack.folder.name] and not (pack.folder / "journal.jsonl").exists()
    return pack, told


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    """The beton of an undisturbed conversion."""
    data = tmp_path_factory.mktemp("whole")
    rng = np.random.default_rng(2)
    for number in range(COUNT):
        folder = data / "pictures" / "ab"[number % 2]
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(photograph(rng, 40, 50)).save(folder / f"{number:03}.png")
    return prepare(RUN, data).beton


def test_killed_conversion_goes_on_behind_its_last_page(data, whole):
    kill_at(data, 60)
    pack, told = finish(data)
    assert told == list(range(3 * A_PAGE, COUNT + 1))
    assert pack.beton.read_bytes() == whole.read_bytes()


def test_killed_again_and_again(data, whole):
    for moment in (1, 20, 40, 41, 119, 120):
        kill_at(data, moment)
    pack, told = finish(data)
    assert told[0] > 100
    assert pack.beton.read_bytes() == whole.read_bytes()


def test_images_that_changed_went_or_came_meanwhile(data):
    kill_at(data, 100)
    files = sources(data)
    Image.open(files[5]).rotate(90).save(files[5])
    files[7].unlink()
    os.link(files[9], files[9].with_name("000-new.png"))
    pack, told = finish(data)
    assert told == list(range(5 * A_PAGE - 2, COUNT + 1))
    shadow = data / "again"
    shadow.mkdir()
    (shadow / "pictures").symlink_to(data / "pictures")
    undisturbed = prepare(RUN, shadow)
    assert pack.manifest["hash"] == undisturbed.manifest["hash"]
    for row in range(COUNT):
        here, there = (
            p.beton.read_bytes()[p.offsets[row] : p.offsets[row] + p.sizes[row]] for p in (pack, undisturbed)
        )
        assert here == there


def test_jpeg_pack_goes_on_too(data, tmp_path_factory):
    run = config(size=SIZE, format="jpeg", quality=100)
    kill_at(data, 110, run)
    pack, told = finish(data, run)
    other = tmp_path_factory.mktemp("other")
    (other / "pictures").symlink_to(data / "pictures")
    assert pack.beton.read_bytes() == prepare(run, other).beton.read_bytes()
    assert len(told) <= COUNT


@pytest.mark.parametrize(
    "spoil",
    [
        lambda part: os.truncate(part / "journal.jsonl", (part / "journal.jsonl").stat().st_size - 10),
        lambda part: os.truncate(part / "images.beton", (part / "images.beton").stat().st_size - 10),
        lambda part: (part / "journal.jsonl").write_text("no journal\n"),
        lambda part: (part / "journal.jsonl").unlink(),
        lambda part: (part / "images.beton").unlink(),
        lambda part: (part / "journal.jsonl").write_text(
            (part / "journal.jsonl").read_text().replace('"pillow": "', '"pillow": "1')
        ),
    ],
    ids=["torn line", "short beton", "no journal in it", "no journal", "no beton", "another decoder"],
)
def test_what_cannot_be_relied_on_is_done_again(data, whole, spoil):
    spoil(kill_at(data, 60))
    pack, told = finish(data)
    assert told[0] in (1, 2 * A_PAGE)
    assert pack.beton.read_bytes() == whole.read_bytes()


def test_bytes_that_the_disk_lost_are_found_and_only_their_images_converted_again(data, whole):
    """A machine that went down may have noted a page that never reached its disk."""
    part = kill_at(data, COUNT)
    with open(part / "images.beton", "r+b") as file:
        file.seek(-(5 << 20), os.SEEK_END)  # among the images of a page that was noted
        file.write(bytes(1000))
    with pytest.raises(OSError, match="images read back are not those that were written"):
        prepare(RUN, data)
    pack, told = finish(data)
    assert COUNT - 2 <= told[0] < COUNT, "one image was spoiled, or two that meet there"
    held, right = (np.memmap(path, np.uint8, "r") for path in (pack.beton, whole))
    intact = Pack.open(whole.parent)
    for row in range(COUNT):
        mine = held[pack.offsets[row] : pack.offsets[row] + pack.sizes[row]]
        theirs = right[intact.offsets[row] : intact.offsets[row] + intact.sizes[row]]
        assert (mine == theirs).all()


def test_a_set_without_one_usable_image(data):
    for path in sources(data):
        path.write_bytes(b"")
    with pytest.raises(RunError, match="120 of 120 files cannot be used"):
        prepare(RUN, data)
