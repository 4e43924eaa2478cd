"""The training paths on a CUDA GPU: right against the CPU, and fast against the network alone.

    python bench/gpu.py [batch=256] [seconds=6] [resolutions=64,128,224]

Needs no network and no images: it makes its own. First every method trains three steps on the CPU and on the GPU
from the same weights, images and draws, in float32 without TF32; losses and weights must agree within the tolerances
below. Then each method trains through the project's own loop at each resolution, in the precision that a run would use,
and its images a second stand beside the limit: forward and backward of the same networks on a resident random tensor,
with as many views, without data, augmentation, optimiser or bookkeeping.
"""

from __future__ import annotations

import platform
import sys
import tempfile
import time
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

import torch
from torch import Tensor, nn

from noisewise.data.augment import Augmenter
from noisewise.finetune.method import FinetuneMethod
from noisewise.models.backbone import build_backbone
from noisewise.runs.config import Finetune, Invariance, Noise, Normalise, Prepare, Pretrain, Run
from noisewise.runs.folder import RunFolder, Settings
from noisewise.runs.recipe import METHODS, exists
from noisewise.track import Tracker, read_metrics
from noisewise.train import order
from noisewise.train.control import Control
from noisewise.train.loop import Loop
from noisewise.train.method import Method
from noisewise.train.precision import autocast
from noisewise.train.ranks import Ranks
from noisewise.train.seeds import seed_everything

CLASSES = 9
VIEWS = {"pretrain": 2, "finetune": 1}
LOSS_TOLERANCE = 1e-4  # relative, float32 on both
WEIGHT_TOLERANCE = 1e-3  # largest difference after three steps, relative to the largest change of any weight


def methods() -> list[tuple[str, str]]:
    """Every (stage, method) that this version has."""
    return [(stage, name) for stage, known in METHODS.items() for name in known if exists(stage, name)]


def make_run(stage: str, name: str, resolution: int, batch: int, epochs: int, **recipe: object) -> Run:
    prepare = Prepare("synthetic", size=resolution + resolution // 8)
    chosen = METHODS[stage][name](resolution=resolution, batch=batch, epochs=epochs, stem="standard", **recipe)
    allowed = Invariance(vflip=True)
    if stage == "pretrain":
        return Pretrain(prepare, name, chosen, allowed=allowed)
    return Finetune(prepare, name, chosen, Noise("symmetric", 0.4), allowed=allowed)


def make_method(run: Run, labels: Tensor, ranks: Ranks) -> Method:
    """The method with random networks on the device, drawn on the CPU: the same for every device."""
    recipe = run.recipe
    augment = Augmenter(recipe.augmentation, run.allowed, recipe.resolution, Normalise())

    def encoder() -> nn.Module:
        return build_backbone(recipe.backbone, recipe.stem, recipe.resolution)

    def network() -> nn.Module:
        found = encoder()
        return nn.Sequential(found, nn.Linear(found.out_features, CLASSES))

    seed_everything("bench", 0)
    module = import_module(f"noisewise.{run.stage}.{run.method}")
    if run.stage == "pretrain":
        method = module.Method(recipe, encoder(), augment)
    else:
        method = module.Method(recipe, network, augment, labels, run.noise, ranks)
    return method.to(ranks.device, memory_format=torch.channels_last)


def make_images(count: int, size: int) -> tuple[Tensor, Tensor]:
    """Smooth random uint8 images [count, size, size, 3] and labels [count]."""
    generator = torch.Generator().manual_seed(0)
    coarse = torch.rand(count, 3, 8, 8, generator=generator)
    smooth = nn.functional.interpolate(coarse, size=(size, size), mode="bilinear")
    images = (smooth.permute(0, 2, 3, 1) * 255).to(torch.uint8).contiguous()
    return images, torch.randint(0, CLASSES, (count,), generator=generator)


def train(run: Run, count: int, device: str, folder: Path) -> tuple[Loop, list[dict]]:
    """Train through the project's loop on `count` images that lie on the device; returns the loop and its metrics."""
    ranks = Ranks(0, 1, torch.device(device))
    images, labels = make_images(count, run.prepare.size)
    images = images.to(ranks.device)
    run_folder = RunFolder(folder / f"{run.stage}-{run.method}-{run.recipe.resolution}-{device}" / run.key)
    run_folder.create(run, Settings())
    tracker = Tracker(run_folder, run, Settings())
    loop = Loop(
        method=make_method(run, labels, ranks),
        recipe=run.recipe,
        seed=0,
        order=lambda epoch: order.full_batches(count, run.recipe.batch, 0, epoch),
        images=lambda steps: (images[torch.from_numpy(step).to(ranks.device)] for step in steps),
        end_epoch=lambda epoch, history: _wait(device),
        folder=run_folder,
        settings=Settings(),
        ranks=ranks,
        control=Control(),
        tracker=tracker,
    )
    loop.run()
    tracker.close()
    return loop, read_metrics(run_folder.metrics)


def _wait(device: str) -> dict:
    if device == "cuda":
        torch.cuda.synchronize()
    return {}


def check(stage: str, name: str, folder: Path) -> bool:
    """Three steps on the CPU and on the GPU from the same start; prints and returns whether they agree."""
    run = make_run(stage, name, resolution=64, batch=32, epochs=1, precision="fp32")
    before = make_method(run, make_images(96, 72)[1], Ranks(0, 1, torch.device("cpu"))).state_dict()
    (cpu, cpu_metrics), (gpu, gpu_metrics) = (train(run, 96, device, folder) for device in ("cpu", "cuda"))
    loss_gap = abs(cpu_metrics[-1]["loss"] - gpu_metrics[-1]["loss"]) / abs(cpu_metrics[-1]["loss"])
    weights = [key for key, value in before.items() if value.is_floating_point() and "running" not in key]
    ours, theirs = cpu.method.state_dict(), gpu.method.state_dict()
    change = max((ours[key] - before[key]).abs().max().item() for key in weights)
    weight_gap = max((ours[key] - theirs[key].cpu()).abs().max().item() for key in weights) / change
    agree = loss_gap <= LOSS_TOLERANCE and weight_gap <= WEIGHT_TOLERANCE
    print(
        f"{stage + ' ' + name:<28} loss differs by {loss_gap:.1e}, weights by {weight_gap:.1e} of their change: "
        f"{'agree' if agree else 'DISAGREE'}"
    )
    return agree


def speed(stage: str, name: str, resolution: int, batch: int, seconds: float, folder: Path) -> float:
    """Images a second through the loop, over whole epochs after a warm-up epoch, of about `seconds`."""
    count = batch * 8
    _, metrics = train(make_run(stage, name, resolution, batch, epochs=2), count, "cuda", folder)
    epochs = 2 + max(1, round(seconds * metrics[-1]["images_per_second"] / count))
    _, metrics = train(make_run(stage, name, resolution, batch, epochs=epochs), count, "cuda", folder)
    rates = sorted(line["images_per_second"] for line in metrics[2:])
    return rates[len(rates) // 2]


def limit(stage: str, name: str, resolution: int, batch: int, seconds: float) -> float:
    """Images a second of the same networks' forward and backward on a random tensor that lies on the device."""
    device = torch.device("cuda")
    run = make_run(stage, name, resolution, batch, epochs=1)
    method = make_method(run, torch.zeros(1, dtype=torch.int64), Ranks(0, 1, device))
    is_finetune = isinstance(method, FinetuneMethod)
    networks = [child for child in method.children() if not is_finetune or isinstance(child, nn.Sequential)]
    images = torch.randn(batch * VIEWS[stage], 3, resolution, resolution, device=device)
    images = images.to(memory_format=torch.channels_last)

    def step() -> None:
        with autocast("auto", device):
            if is_finetune:
                losses = [network(images).float().square().mean() for network in networks]
            else:
                losses = [nn.Sequential(*networks)(images).float().square().mean()]
        torch.stack(losses).sum().backward()
        method.zero_grad(set_to_none=True)

    return batch / timed(step, seconds)


def timed(step: Callable[[], None], seconds: float) -> float:
    """Seconds a call, after a warm-up, over about `seconds`."""
    for _ in range(5):
        step()
    torch.cuda.synchronize()
    started, calls = time.perf_counter(), 0
    while time.perf_counter() - started < seconds:
        for _ in range(5):
            step()
        torch.cuda.synchronize()
        calls += 5
    return (time.perf_counter() - started) / calls


def main(words: list[str]) -> int:
    options = {"batch": "256", "seconds": "6", "resolutions": "64,128,224"}
    for word in words:
        key, _, value = word.partition("=")
        if key not in options:
            print(f"unknown key '{key}'; legal: {', '.join(options)}", file=sys.stderr)
            return 2
        options[key] = value
    if not torch.cuda.is_available():
        print("no CUDA GPU here: nothing was checked and nothing measured.")
        return 0
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
    gpu = torch.cuda.get_device_name()
    print(f"{gpu}, torch {torch.__version__}, CUDA {torch.version.cuda}, Python {platform.python_version()}")
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        print("\ncorrectness, float32, 64 px, three steps, GPU against CPU")
        right = [check(stage, name, folder) for stage, name in methods()]
        torch.backends.cuda.matmul.allow_tf32 = True
        torch.backends.cudnn.allow_tf32 = True
        print(f"\nimages/s, ResNet-18, standard stem, batch {options['batch']}, the precision of precision=auto")
        print(f"{'method':<28}{'pixels':>8}{'noisewise':>12}{'limit':>10}{'share':>8}")
        batch, seconds = int(options["batch"]), float(options["seconds"])
        for stage, name in methods():
            for resolution in map(int, options["resolutions"].split(",")):
                ours = speed(stage, name, resolution, batch, seconds, folder)
                most = limit(stage, name, resolution, batch, seconds)
                row = f"{stage + ' ' + name:<28}{resolution:>8}{ours:>12,.0f}{most:>10,.0f}{ours / most:>8.2f}"
                print(row, flush=True)
    return 0 if all(right) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
