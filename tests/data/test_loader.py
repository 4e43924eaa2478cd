"""Both kinds of pack serve the same batches through one interface."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import config
from torch.utils.data import DataLoader
from torchvision.datasets import ImageFolder

from noisewise.data import loader
from noisewise.data.buffers import Buffers
from noisewise.data.images import open_square
from noisewise.data.loader import open_images
from noisewise.data.resident_images import ResidentImages
from noisewise.errors import RunError

CPU = torch.device("cpu")
LIB = Path(__file__).resolve().parents[2] / "lib"
EXACT = {"raw": 0, "jpeg": 30}  # of 255, largest difference from the resized image


@pytest.fixture(scope="module", params=["raw", "jpeg"])
def pack(request):
    return request.getfixturevalue(f"{request.param}_pack")


@pytest.fixture(scope="module")
def source(pack):
    opened = open_images(pack, CPU)
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def pixels(dataset):
    files = sorted(dataset.rglob("pictures/*/*"))
    return torch.from_numpy(np.stack([open_square(path, 48, "resize") for path in files]))


def same(found: torch.Tensor, expected: torch.Tensor, pack) -> bool:
    close = (found.int() - expected.int()).abs().max() <= EXACT[pack.format] if len(expected) else True
    return found.dtype == torch.uint8 and found.shape == expected.shape and bool(close)


def test_exactly_the_samples_asked_for_in_that_order(pack, source, pixels):
    rng = np.random.default_rng(0)
    steps = [rng.integers(0, 120, length) for length in (1, 64, 7, 0, 65, 1, 200, 1)]
    found = list(source.batches(steps))
    assert len(found) == len(steps)
    for images, step in zip(found, steps, strict=True):
        assert same(images, pixels[step], pack)


def test_batches_may_be_kept(pack, source, pixels):
    steps = [np.arange(start, start + 5) % 120 for start in range(200)]
    kept, sums = [], []
    for images in source.batches(steps):
        kept.append(images[1:4])  # a view: the batch itself is dropped
        sums.append(int(images[1:4].sum()))
    assert [int(view.sum()) for view in kept] == sums
    assert same(kept[150], pixels[steps[150][1:4]], pack)


def test_leaving_early_ends_what_was_begun(pack, source, pixels):
    list(source.batches([np.arange(3)] * 3))
    before = threading.active_count()
    for _ in range(5):
        batches = source.batches([np.arange(120)] * 50)
        next(batches)
        batches.close()
    assert threading.active_count() == before
    assert same(next(source.batches([np.array([5])])), pixels[5:6], pack)


def test_two_readings_at_once(pack, source, pixels):
    one, two = source.batches([np.arange(70)] * 2), source.batches([np.arange(50, 120)] * 2)
    for _ in range(2):
        assert same(next(one), pixels[:70], pack) and same(next(two), pixels[50:], pack)


def test_no_steps(source):
    assert list(source.batches([])) == []


def test_number_of_torch_threads_stays(pack):
    """Not only in the end: also while batches are read, when FFCV's thread is at work."""
    before = torch.get_num_threads()
    torch.set_num_threads(before + 5)
    try:
        opened = open_images(pack, CPU)
        during = [torch.get_num_threads() for _ in opened.batches([np.arange(70)] * 4)]
        opened.close()
        assert [*during, torch.get_num_threads()] == [before + 5] * 5
    finally:
        torch.set_num_threads(before)


def test_ffcv_decodes_on_every_core(jpeg_pack, monkeypatch):
    from noisewise.data import jpeg_images

    given = []
    monkeypatch.setattr(jpeg_images.numba, "set_num_threads", given.append)
    source = open_images(jpeg_pack, CPU)
    list(source.batches([np.arange(3)]))
    source.close()
    assert set(given) == {jpeg_images.Compiler.num_threads} == {len(os.sched_getaffinity(0))}


def test_closing_ends_all_threads(pack):
    before = threading.active_count()
    opened = open_images(pack, CPU)
    batches = opened.batches([np.arange(120)] * 50)
    next(batches)
    opened.close()
    assert threading.active_count() == before


def test_images_on_the_device_are_the_same(pack, source, pixels):
    held = ResidentImages(source, np.arange(10, 90), 120, CPU)
    steps = [np.array([89, 10, 10]), np.arange(20, 60)]
    for images, step in zip(held.batches(steps), steps, strict=True):
        assert same(images, pixels[step], pack)
    with pytest.raises(IndexError, match="sample 95"):
        next(held.batches([np.array([20, 95])]))


def test_agrees_with_torchvision(raw_pack, dataset):
    """The same files in the same order with the same labels as ImageFolder."""
    folder = ImageFolder(str(dataset / "pictures"), transform=lambda image: torch.tensor([image.width, image.height]))
    labels = torch.cat([labels for _, labels in DataLoader(folder, 32)])
    assert (labels.numpy() == raw_pack.labels).all() and folder.classes == raw_pack.classes


def test_raw_pack_needs_no_ffcv(raw_pack):
    code = (
        "import sys, torch, numpy as np; from pathlib import Path\n"
        "from noisewise.data.loader import open_images; from noisewise.data.pack import Pack\n"
        f"images = open_images(Pack.open(Path({str(raw_pack.folder)!r})), torch.device('cpu'))\n"
        "print(next(images.batches([np.arange(4)])).shape, 'ffcv' in sys.modules, 'numba' in sys.modules)"
    )
    found = subprocess.run([sys.executable, "-c", code], env={"PYTHONPATH": str(LIB)}, capture_output=True, text=True)
    assert found.stdout == "torch.Size([4, 48, 48, 3]) False False\n", found.stderr


def test_fits_on_the_device_or_not(raw_pack, monkeypatch):
    """Which source a CUDA device gets, without one: memory is pretended, and nothing is copied."""
    made = []
    monkeypatch.setattr(loader, "RawImages", lambda pack, device: type("Raw", (), {"close": lambda self: None})())
    monkeypatch.setattr(loader, "ResidentImages", lambda *args: made.append(args) or "resident")
    need = 50 * 48 * 48 * 3
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (int(need / 0.6) + 2, 0))
    assert open_images(raw_pack, torch.device("cuda"), np.arange(50)) == "resident"
    assert open_images(raw_pack, torch.device("cuda"), np.arange(51)) != "resident" and len(made) == 1


def test_buffers_come_back_only_when_nobody_holds_them():
    buffers = Buffers((2, 2, 3), pinned=False)
    first = buffers.take(8)
    address, view = first.data_ptr(), first[2:3]
    del first
    assert buffers.take(8).data_ptr() != address
    del view
    assert address in {tensor.data_ptr() for tensor in [buffers.take(8), buffers.take(5)]}


@pytest.fixture
def damaged(jpeg_pack, tmp_path):
    """A copy of the JPEG pack in which sample 5 is corrupt, its length unchanged."""
    folder = Path(shutil.copytree(jpeg_pack.folder, tmp_path / "pack"))
    with open(folder / "images.beton", "r+b") as file:
        file.seek(int(jpeg_pack.offsets[5]) + 2)
        file.write(bytes(200))
    return replace(jpeg_pack, folder=folder)


def test_corrupt_jpeg_is_an_error_never_a_stale_image(damaged, pixels):
    source = open_images(damaged, CPU)
    assert same(next(source.batches([np.array([4, 6])])), pixels[[4, 6]], damaged)
    batches = source.batches([np.arange(64, 100), np.arange(0, 40)])
    with pytest.raises(RunError, match="image 5 is not as it was written") as error:
        list(batches)
    assert error.value.kind == "data" and "submit again: it is prepared again" in error.value.advice
    source.close()


def test_beton_of_another_pack_is_refused(jpeg_pack, tmp_path):
    odd = replace(jpeg_pack, offsets=jpeg_pack.offsets + 1)
    with pytest.raises(RunError, match="table of samples"):
        open_images(odd, CPU)


@pytest.mark.parametrize("moment", [0, 1])
def test_failure_in_the_decoding_thread_is_raised_at_once(jpeg_pack, monkeypatch, moment):
    from noisewise.data import jpeg_images

    source = open_images(jpeg_pack, CPU)
    original, calls = jpeg_images._Epoch.run_pipeline, []

    def fail(self, *args):
        calls.append(args)
        if len(calls) > moment:
            raise ZeroDivisionError("on purpose")
        return original(self, *args)

    monkeypatch.setattr(jpeg_images._Epoch, "run_pipeline", fail)
    began = time.monotonic()
    with pytest.raises(RunError, match="ended early: ZeroDivisionError"):
        list(source.batches([np.arange(120)]))
    assert time.monotonic() - began < 5
    monkeypatch.undo()
    assert len(next(source.batches([np.arange(3)]))) == 3
    source.close()


def test_jpeg_pack_without_ffcv_says_what_to_do(jpeg_pack):
    code = (
        "import sys, torch; sys.modules['ffcv'] = None\n"
        "from pathlib import Path; from noisewise.data.loader import open_images\n"
        "from noisewise.data.pack import Pack\n"
        f"open_images(Pack.open(Path({str(jpeg_pack.folder)!r})), torch.device('cpu'))"
    )
    environment = {**os.environ, "PYTHONPATH": str(LIB)}
    found = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert found.returncode == 1 and "RunError: FFCV is not installed" in found.stderr


def test_config_names_the_pack(raw_pack):
    assert raw_pack.folder.name == f"pictures-48px-{config().key}"
