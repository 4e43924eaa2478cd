"""The GPU bench on the CPU: it says when there is no GPU, its checks can fail, and its figures are figures."""

from __future__ import annotations

import math
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from noisewise.models.backbone import BACKBONES

BENCH = Path(__file__).parents[2] / "bench"
CPU = torch.device("cpu")


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def gpu():
    sys.path.insert(0, str(BENCH))
    import gpu

    return gpu


@pytest.fixture(scope="module")
def checks(gpu):
    import gpu_checks

    return gpu_checks


@pytest.fixture(scope="module")
def pack(gpu, tmp_path_factory):
    return gpu.make_pack(tmp_path_factory.mktemp("bench") / "pack", 12, 18)


@pytest.fixture(autouse=True)
def small(checks, monkeypatch):
    """A backbone of one layer, and checks of 16 px images in batches of 4."""

    def backbone(small_stem, resolution):
        network = nn.Sequential(
            nn.Conv2d(3, 8, 3, 2), nn.BatchNorm2d(8), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()
        )
        network.out_features = 8
        return network

    monkeypatch.setitem(BACKBONES, "resnet18", backbone)
    for name, value in {"RESOLUTION": 16, "BATCH": 4, "IMAGES": 12}.items():
        monkeypatch.setattr(checks, name, value)


def run_of(gpu, name, **more):
    stage = dict(map(reversed, gpu.methods()))[name]
    return gpu.make_run(stage, name, 16, 4, **more)


def texts(findings):
    return [finding.text for finding in findings if not finding.ok]


def test_without_a_gpu_it_says_so_from_a_bare_checkout(tmp_path):
    if torch.cuda.is_available():
        pytest.skip("there is a GPU here")
    command = [sys.executable, "-I", str(BENCH / "gpu.py")]
    found = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert (found.returncode, found.stderr) == (0, "")
    assert found.stdout == "No CUDA GPU here: nothing was checked and nothing measured.\n"


def test_a_missing_package_is_named(tmp_path):
    (tmp_path / "torch.py").write_text("raise ModuleNotFoundError('no', name='torch')")
    command = [sys.executable, str(BENCH / "gpu.py")]
    found = subprocess.run(command, env={"PYTHONPATH": str(tmp_path)}, capture_output=True, text=True)
    assert found.returncode == 1
    assert "torch is not installed: type pip install" in found.stderr and "Traceback" not in found.stderr


@pytest.mark.parametrize("word", ["only=speeed", "sizes=64", "check"])
def test_words_that_it_does_not_know(gpu, capsys, word):
    assert gpu.main([word]) == 2
    assert word in capsys.readouterr().out


@pytest.mark.parametrize(("words", "done"), [([], "cs"), (["only=check"], "c"), (["only=speed", "batch=8"], "s")])
@pytest.mark.parametrize("well", [True, False])
def test_with_a_gpu_it_does_what_is_asked_for(gpu, monkeypatch, capsys, words, done, well):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "set_device", lambda device: None)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "a GPU")
    monkeypatch.setattr(torch.backends.cudnn, "version", lambda: 0)
    calls = []
    monkeypatch.setattr(gpu, "run_checks", lambda *parts: calls.append("c") or well)
    monkeypatch.setattr(gpu, "speeds", lambda *parts: calls.append("s") or well)
    assert gpu.main(words) == (0 if well else 1)
    assert "".join(calls) == done
    assert "a GPU, CUDA" in capsys.readouterr().out


def test_all_checks_pass_on_the_cpu_against_itself(checks, tmp_path):
    said = []
    assert checks.run_checks(CPU, tmp_path, said.append)
    assert all(line.startswith("ok ") for line in said)
    for part in ("images", "views", "coteaching predictions", "simclr resuming", "cross entropy waiting"):
        assert any(part in line for line in said), part


def test_wrong_images_and_views_are_found(checks, pack, monkeypatch):
    monkeypatch.setattr(checks.RawImages, "_gather", lambda self, step: torch.zeros(len(step), 18, 18, 3).byte())
    assert texts(checks.image_sources(pack, CPU)) == ["RawImages: 24 of 24 images differ from the beton"] * 2
    calls = iter(range(100))
    monkeypatch.setattr(checks, "evaluation_view", lambda *_: torch.zeros(1) + 2e-4 * (next(calls) % 2))
    assert len(texts(checks.views(CPU))) == 2


@pytest.mark.parametrize(("scale", "bad"), [(1 + 1e-9, 0), (1 + 1e-2, 3)])
def test_a_wrong_network_is_found(gpu, checks, pack, monkeypatch, tmp_path, scale, bad):
    make_method, calls = checks.make_method, iter(range(100))

    def scaled(*parts):  # every other network, the first among them: the device's
        method = make_method(*parts)
        if next(calls) % 2 == 0:
            with torch.no_grad():
                method.network.head.weight *= scale
        return method

    monkeypatch.setattr(checks, "make_method", scaled)
    found = texts(checks.first_step(run_of(gpu, "cross_entropy"), pack, tmp_path, CPU))
    assert len(found) >= bad if bad else not found


def test_a_check_that_raises_has_failed(checks):
    said = []
    assert not checks.run_check("name", lambda: iter([1 / 0]), said.append)
    assert said[0].startswith("FAILED name: Traceback") and "ZeroDivisionError" in said[0]


def test_what_waits_is_said_with_its_place(gpu, checks, pack, monkeypatch, tmp_path):
    """As torch does it in sync_debug_mode("error"): here, taking the optimiser's step raises."""
    modes = []
    monkeypatch.setattr(torch.cuda, "set_sync_debug_mode", modes.append)
    monkeypatch.setattr(checks, "no_waiting", lambda device, real=checks.no_waiting: real(torch.device("cuda")))

    def step(self):
        if modes[-1:] == ["error"]:
            raise RuntimeError("called a synchronizing CUDA operation")

    monkeypatch.setattr(torch.optim.SGD, "step", step)
    (finding,) = checks.waiting(run_of(gpu, "cross_entropy", epochs=2), pack, tmp_path, CPU)
    assert modes == ["error", "default"]
    assert finding.ok and "WAITS, called a synchronizing CUDA operation: loop.py:" in finding.text


def test_tensorfloat_is_as_it_was_behind_the_checks(checks):
    def flags():
        return torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32

    before = flags()
    with checks.full_float32():
        assert flags() == (False, False)
    assert flags() == before


def test_speed_and_limit(gpu, pack, monkeypatch, tmp_path):
    monkeypatch.setattr(gpu, "FEWEST_STEPS", 3)
    run = run_of(gpu, "coteaching", epochs=2)
    assert run.recipe.ramp_epochs == 0
    ours, logged = gpu.speed(run, pack, CPU, tmp_path, steps=6)
    assert math.isfinite(ours) and 0.5 < ours / logged < 2
    most = gpu.limit(run, pack, CPU, seconds=0.05)
    assert 0 < ours < 2 * most


def test_the_table_goes_on_behind_what_fails(gpu, monkeypatch, tmp_path):
    said = []

    def limit(run, pack, device, seconds):
        if run.method == "simclr":
            raise torch.cuda.OutOfMemoryError
        return 100.0

    def speed(run, pack, device, folder, steps):
        assert steps == 5  # the limit's images in the seconds wanted
        if run.method == "cross_entropy":
            raise ValueError("made up")
        return 50.0, 49.0

    monkeypatch.setattr(gpu, "limit", limit)
    monkeypatch.setattr(gpu, "speed", speed)
    assert not gpu.speeds(CPU, tmp_path, [8], 4, 0.2, said.append)
    rows = {line.split()[0]: line for line in said[2:]}
    assert "smaller batch=" in rows["simclr"] and "made up" in rows["cross_entropy"]
    assert rows["coteaching"].split() == ["coteaching", "8", "50", "49", "100", "0.50"]
    assert "float32" in said[0]


def test_batches_are_full_and_as_many_as_asked_for(gpu):
    steps = gpu.make_batches(10, 4, 5, epoch=0)
    assert [len(step) for step in steps] == [4] * 5
    assert all(len(set(step.tolist())) == 4 for step in steps)
    assert not all((a == b).all() for a, b in zip(steps, gpu.make_batches(10, 4, 5, epoch=1), strict=True))


def test_the_pack_is_out_of_order_and_in_bounds(pack):
    assert (pack.offsets[1:] < pack.offsets[:-1]).any()
    assert (pack.offsets + pack.sizes).max() == pack.beton.stat().st_size
    assert replace(pack).checksums.dtype == "uint32"
