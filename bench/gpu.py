"""The training paths on a CUDA GPU: right against the CPU, and fast against the network alone.

    python bench/gpu.py [only=check|speed] [batch=256] [seconds=5] [resolutions=64,128,224]

Runs from a checkout, needs no network and no images, and takes some five minutes. First the checks (`gpu_checks.py`).
Then each method trains through the project's own loop at each resolution, in the precision that a run would use, on
images that lie on the GPU. Its images a second stand beside what metrics.jsonl says of that epoch, and beside the
limit: the method's own forward and backward on views made once, without data, augmentation, optimiser and bookkeeping.
"""

from __future__ import annotations

import platform
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "lib")]

try:
    import torch
    import torchvision
    from gpu_checks import run_checks
    from synthetic import (
        make_batch,
        make_batches,
        make_images,
        make_method,
        make_pack,
        make_run,
        methods,
        still_views,
        training,
    )

    from noisewise.data.pack import Pack
    from noisewise.runs.config import Finetune, Pretrain
    from noisewise.runs.folder import RunFolder
    from noisewise.track import read_metrics
    from noisewise.train.order import Step
    from noisewise.train.precision import autocast
    from noisewise.train.ranks import Ranks
except ModuleNotFoundError as missing:
    sys.exit(f"{missing.name} is not installed: type pip install torch torchvision numpy omegaconf, then this again.")

OPTIONS = {"only": "", "batch": "256", "seconds": "5", "resolutions": "64,128,224"}
FEWEST_STEPS = 50  # of an epoch that is timed, and of the one before it, which warms up


def main(words: list[str]) -> int:
    """Exit status: 0 all is well or there is no GPU, 1 a check failed, 2 a word is not understood."""
    options = dict(OPTIONS)
    for word in words:
        key, _, value = word.partition("=")
        if key not in options or (key == "only" and value not in ("check", "speed")):
            print(f"'{word}' is no key=value of this command; see the top of {Path(__file__).name}", flush=True)
            return 2
        options[key] = value
    if not torch.cuda.is_available():
        print("No CUDA GPU here: nothing was checked and nothing measured.", flush=True)
        return 0
    device = torch.device("cuda", 0)
    torch.cuda.set_device(device)
    say = clock()
    say(f"{torch.cuda.get_device_name(device)}, CUDA {torch.version.cuda}, cuDNN {torch.backends.cudnn.version()}")
    say(f"torch {torch.__version__}, torchvision {torchvision.__version__}, Python {platform.python_version()}")
    well = True
    with tempfile.TemporaryDirectory() as temporary:
        if options["only"] != "speed":
            well = run_checks(device, Path(temporary) / "checks", say)
            say("all checks passed" if well else "SOME CHECKS FAILED")
        if options["only"] != "check":
            resolutions = [int(resolution) for resolution in options["resolutions"].split(",")]
            well &= speeds(device, Path(temporary), resolutions, int(options["batch"]), float(options["seconds"]), say)
    return 0 if well else 1


def clock() -> Callable[[str], None]:
    """A print that puts the seconds since now before each line, and does not keep it back."""
    began = time.perf_counter()
    return lambda text: print(f"{time.perf_counter() - began:6.1f} s  {text}", flush=True)


def speeds(
    device: torch.device, folder: Path, resolutions: list[int], batch: int, seconds: float, say: Callable[[str], None]
) -> bool:
    """Say the table of every method at every resolution; what fails is said, and the others go on.

    Returns:
        Whether nothing failed; a GPU whose memory is too small is no failure.
    """
    with autocast("auto", device):
        precision = "bfloat16" if torch.is_autocast_enabled(device.type) else "float32"
    say(f"images/s, ResNet-18, standard stem, batch {batch}, {precision}")
    say(f"{'method':<16}{'pixels':>8}{'noisewise':>12}{'metrics':>10}{'limit':>10}{'share':>8}")
    well = True
    for resolution in resolutions:
        pack = make_pack(folder / f"pack-{resolution}", 4 * batch, resolution + resolution // 8)
        for stage, name in methods():
            run = make_run(stage, name, resolution, batch, epochs=2)
            try:
                most = limit(run, pack, device, seconds)
                ours, logged = speed(run, pack, device, folder / f"{name}-{resolution}", round(most * seconds / batch))
            except torch.cuda.OutOfMemoryError:
                say(f"{name:<16}{resolution:>8}  the GPU's memory is too small: set a smaller batch=")
            except Exception:
                say(f"{name:<16}{resolution:>8}  FAILED: {traceback.format_exc()}")
                well = False
            else:
                say(f"{name:<16}{resolution:>8}{ours:>12,.0f}{logged:>10,.0f}{most:>10,.0f}{ours / most:>8.2f}")
    return well


def speed(run: Pretrain | Finetune, pack: Pack, device: torch.device, folder: Path, steps: int) -> tuple[float, float]:
    """Images a second of the loop's second epoch: by a clock around it, and as metrics.jsonl says."""
    steps, batch = max(FEWEST_STEPS, steps), run.recipe.batch
    began, ended = [], []
    with training(run, pack, folder, Ranks(0, 1, device), steps) as loop:
        images = loop.images

        def timed_images(steps):  # asked for at an epoch's beginning
            began.append(now(device))
            yield from images(steps)

        def end_epoch(epoch, history):
            ended.append(now(device))
            return {}

        loop.order = lambda epoch: [
            Step(rows, loop.method.turns)
            for rows in make_batches(len(pack), batch, steps if epoch else FEWEST_STEPS, epoch)
        ]
        loop.images, loop.end_epoch = timed_images, end_epoch
        loop.run()
    files = RunFolder.of(folder, run)
    files.checkpoint.unlink()
    return steps * batch / (ended[1] - began[1]), read_metrics(files.metrics)[1]["images_per_second"]


def limit(run: Pretrain | Finetune, pack: Pack, device: torch.device, seconds: float) -> float:
    """Images a second of the method's own forward and backward, all its turns, on views that are made once."""
    recipe, kept = run.recipe, {}
    method = make_method(run, pack.labels, Ranks(0, 1, device)).train()

    def once(make: Callable, images: torch.Tensor, generator: torch.Generator, *rest: object) -> torch.Tensor:
        if (name := repr(make)) not in kept:  # augmenters have no hash: what they are made of may change
            kept[name] = make(images, generator, *rest)
        return kept[name]

    still_views(method, once)
    images = make_images(recipe.batch, pack.size).to(device)
    trained = {turn: method.trained(turn) for turn in method.turns}

    def step() -> None:
        for turn in method.turns:
            method.zero_grad(set_to_none=True)
            if len(trained) > 1:  # as the loop does
                for other, parameters in trained.items():
                    for parameter in parameters:
                        parameter.requires_grad_(other == turn)
            with autocast(recipe.precision, device):
                loss, _ = method(make_batch(images, turn))
            loss.backward()
        method.after_step()

    return recipe.batch / seconds_a_call(step, seconds, device)


def seconds_a_call(step: Callable[[], None], seconds: float, device: torch.device) -> float:
    """The mean over about `seconds`, after a warm-up of a few calls."""
    for _ in range(5):
        step()
    began, calls = now(device), 0
    while (passed := now(device) - began) < seconds or not calls:
        for _ in range(10):
            step()
        calls += 10
    return passed / calls


def now(device: torch.device) -> float:
    """The time when the device is done with all that it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
