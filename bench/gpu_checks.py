"""Is what a run does on a GPU right? Each check compares with the CPU, or with what must hold, and yields findings."""

from __future__ import annotations

import math
import traceback
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
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
from torch import Tensor

from noisewise.data.augment import Augmenter, evaluation_view
from noisewise.data.loader import open_images
from noisewise.data.pack import Pack
from noisewise.data.raw_images import RawImages
from noisewise.data.resident_images import ResidentImages
from noisewise.finetune.evaluator import Evaluator
from noisewise.runs.config import Finetune, Invariance, Normalise, Pretrain
from noisewise.runs.folder import RunFolder
from noisewise.track import read_metrics
from noisewise.train.control import Control, Interrupted
from noisewise.train.precision import autocast
from noisewise.train.ranks import Ranks
from noisewise.train.seeds import torch_generator

RESOLUTION, BATCH, IMAGES = 64, 32, 1200  # more images than are read at a time
STEPS = 4  # an epoch
WATCHED = 2  # the step that must not wait: not the first, when things are set up, and not the last
CPU = torch.device("cpu")

# Measured between two ways on one CPU: float32 with oneDNN and without, and with noise of 1e-5 (of its standard
# deviation) on what every convolution gives, as from other algorithms, differ in the loss by 1.3e-6 at most, in the
# worst tensor's gradient by 3e-2 (signs at ReLUs), in probabilities by 3e-6; noise as from TensorFloat-32, 3e-4, is
# caught: 1.5e-5 and 1.6e-1. float64 with noise of 1e-12: gradients differ by 8e-9; methods end in float32, which adds
# 1e-7. bfloat16 against float32: loss 5e-4, probabilities 1.2e-3.
VIEW_GAP = 1e-4  # normalised pixels
LOSS_GAP = {torch.float64: 1e-5, torch.float32: 1e-5, torch.bfloat16: 2e-2}  # relative
GRADIENT_GAP = {torch.float64: 1e-4, torch.float32: 1e-1}  # L2 of the difference by L2, of the worst tensor
NOUGHT = 1e-3  # of the largest gradient's length
PROBABILITY_GAP = {"fp32": 1e-4, "bf16": 2e-2}


@dataclass(frozen=True)
class Finding:
    """What a check has found, in words, and whether it is as it should be."""

    text: str
    ok: bool


def within(what: str, gap: float, most: float) -> Finding:
    """A finding about a difference; what is not a number is not within."""
    return Finding(f"{what} {gap:.1e} (at most {most:.0e})", bool(gap <= most))


def run_checks(device: torch.device, folder: Path, say: Callable[[str], None]) -> bool:
    """Every check, of every method; says what each found. Returns whether all is well."""
    pack = make_pack(folder / "pack", IMAGES, RESOLUTION + RESOLUTION // 8)
    well = run_check("images", lambda: image_sources(pack, device), say)
    well &= run_check("views", lambda: views(device), say)
    for stage, name in methods():
        run = make_run(stage, name, RESOLUTION, BATCH, epochs=2)
        for check in (first_step, *([predictions] if stage == "finetune" else []), resuming, waiting):
            root = folder / name / check.__name__
            well &= run_check(f"{name} {check.__name__}", lambda c=check, r=run, f=root: c(r, pack, f, device), say)
    return well


def run_check(name: str, check: Callable[[], Iterator[Finding]], say: Callable[[str], None]) -> bool:
    """Say what a check finds; one that raises has failed, and the others go on."""
    try:
        well = True
        for finding in check():
            say(f"{'ok    ' if finding.ok else 'FAILED'} {name.replace('_', ' ')}: {finding.text}")
            well &= finding.ok
        return well
    except Exception:
        say(f"FAILED {name.replace('_', ' ')}: {traceback.format_exc()}")
        return False


@contextmanager
def full_float32() -> Iterator[None]:
    """Without TensorFloat-32, which torch otherwise uses in convolutions: 10 bits of precision instead of 23."""
    kept = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    try:
        yield
    finally:
        torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = kept


def image_sources(pack: Pack, device: torch.device) -> Iterator[Finding]:
    """Images from the device's memory, and read ahead into pinned memory, against the beton's own bytes."""
    steps = make_batches(len(pack), BATCH, 2 * len(pack) // BATCH, epoch=0)
    beton = np.memmap(pack.beton, np.uint8, "r")
    length = pack.size**2 * 3
    opened, streamed = open_images(pack, device), RawImages(pack, device)
    wanted_kind = ResidentImages if device.type == "cuda" else RawImages
    yield Finding(f"open_images chose {type(opened).__name__}", isinstance(opened, wanted_kind))
    for source in (opened, streamed):
        keep_busy(device)  # copies queue up behind it: host memory that is used again too early would show
        with closing(source):
            found = list(source.batches(steps))
        wrong = 0
        for step, images in zip(steps, found, strict=True):
            wanted = np.stack([beton[start : start + length] for start in pack.offsets[step].tolist()])
            wrong += int((images.flatten(1).cpu().numpy() != wanted).any(1).sum())
        of = BATCH * len(steps)
        yield Finding(f"{type(source).__name__}: {wrong} of {of} images differ from the beton", wrong == 0)


def keep_busy(device: torch.device) -> None:
    """Queue work that takes a GPU some tenths of a second."""
    if device.type == "cuda":
        matrix = torch.ones(8192, 8192, device=device)
        for _ in range(10):
            matrix = matrix @ matrix


def views(device: torch.device) -> Iterator[Finding]:
    """Random views, and the one for evaluation, on the device against the CPU."""
    images = make_images(2 * BATCH, RESOLUTION + RESOLUTION // 8)
    with full_float32():
        for stage, name in methods():
            for allowed in (Invariance(vflip=True), Invariance(rotate=30)):
                recipe = make_run(stage, name, RESOLUTION, BATCH).recipe
                augment = Augmenter(getattr(recipe, "second", recipe.augmentation), allowed, RESOLUTION, Normalise())
                ours, theirs = (augment(images.to(d), torch_generator("views")).cpu() for d in (device, CPU))
                turned = ", rotated" if allowed.rotate else ""
                yield within(f"{name}'s{turned} differ by", (ours - theirs).abs().max().item(), VIEW_GAP)
        for resolution in (RESOLUTION, images.shape[1]):
            ours, theirs = (evaluation_view(images.to(d), resolution, Normalise()).cpu() for d in (device, CPU))
            yield within(f"evaluation at {resolution} px differs by", (ours - theirs).abs().max().item(), VIEW_GAP)


def first_step(run: Pretrain | Finetune, pack: Pack, folder: Path, device: torch.device) -> Iterator[Finding]:
    """Loss and gradients of one step from the same networks and views: device against CPU, bfloat16 against float32.

    Weights after a step would say less: Adam's first step is its learning rate up or down, however small the gradient.
    """
    with full_float32():
        for dtype in (torch.float64, torch.float32):
            loss, gradients = loss_and_gradients(run, pack, device, dtype)
            true_loss, true_gradients = loss_and_gradients(run, pack, CPU, dtype)
            gap = worst_gap(gradients, true_gradients)
            name = str(dtype).removeprefix("torch.")
            yield within(f"{name} loss differs by", abs(loss / true_loss - 1), LOSS_GAP[dtype])
            yield within(f"{name} gradients differ by", gap, GRADIENT_GAP[dtype])
        coarse, _ = loss_and_gradients(run, pack, device, torch.float32, "bf16")
        yield within("bfloat16 loss differs from float32's by", abs(coarse / loss - 1), LOSS_GAP[torch.bfloat16])


def worst_gap(found: dict[str, Tensor], wanted: dict[str, Tensor]) -> float:
    """L2 of the difference by L2, of the worst tensor; one that is nought but for rounding is held against the rest."""
    least = NOUGHT * max(value.norm() for value in wanted.values())
    return max(((found[name] - value).norm() / value.norm().clamp(min=least)).item() for name, value in wanted.items())


def loss_and_gradients(
    run: Pretrain | Finetune, pack: Pack, device: torch.device, dtype: torch.dtype, precision: str = "fp32"
) -> tuple[float, dict[str, Tensor]]:
    """One batch's loss and gradients by parameter, over all turns, without an optimiser; views are the CPU's."""
    losses, gradients = 0.0, {}
    with number_type(dtype):
        method = make_method(run, pack.labels, Ranks(0, 1, device)).to(dtype)
        still_views(method, lambda make, images, *rest: make(images.cpu(), *rest).to(device, dtype))
        for turn in dict.fromkeys(method.turns):
            method.zero_grad(set_to_none=True)
            with autocast(precision, device):
                loss, _ = method(make_batch(make_images(BATCH, pack.size).to(device), turn))
            loss.backward()
            losses += loss.item()
            for number, value in enumerate(method.trained(turn)):
                gradients[f"{turn} {number}"] = value.grad.double().cpu()
    return losses, gradients


@contextmanager
def number_type(dtype: torch.dtype) -> Iterator[None]:
    """What is made is made in `dtype`; in float64 what methods turn into float32 stays as it is, too."""
    kept, to_float = torch.get_default_dtype(), Tensor.float
    torch.set_default_dtype(dtype)
    if dtype == torch.float64:
        Tensor.float = Tensor.double
    try:
        yield
    finally:
        torch.set_default_dtype(kept)
        Tensor.float = to_float


def predictions(run: Finetune, pack: Pack, folder: Path, device: torch.device) -> Iterator[Finding]:
    """Class probabilities as they are scored, device against CPU."""
    wanted = probabilities(run, pack, folder, CPU, "fp32")
    with full_float32():
        for precision, most in PROBABILITY_GAP.items():
            found = probabilities(run, pack, folder, device, precision)
            yield within(f"{precision} probabilities differ from the CPU's by", np.abs(found - wanted).max(), most)


def probabilities(run: Finetune, pack: Pack, folder: Path, device: torch.device, precision: str) -> np.ndarray:
    """What the engine's evaluator predicts for every fourth image with the run's initial networks."""
    ranks = Ranks(0, 1, device)
    method = make_method(run, pack.labels, ranks).eval()
    run = replace(run, recipe=replace(run.recipe, precision=precision))
    with closing(open_images(pack, device)) as source:
        evaluator = Evaluator(run, run.noise, RunFolder(folder), method, pack, source, ranks)
        return evaluator.predict(np.arange(0, len(pack), 4))


class StopAfter(Control):
    """Asks a run to stop at its n-th look."""

    def __init__(self, looks: int) -> None:
        super().__init__()
        self.looks = looks

    @property
    def asked(self) -> bool:
        self.looks -= 1
        return self.looks < 0


def resuming(run: Pretrain | Finetune, pack: Pack, folder: Path, device: torch.device) -> Iterator[Finding]:
    """A run that is stopped within its second epoch and resumed, by a loop, optimiser and networks of its own."""
    ranks = Ranks(0, 1, device)
    try:
        with training(run, pack, folder, ranks, STEPS, StopAfter(STEPS + 1)) as loop:
            loop.run()
        yield Finding("was not stopped", False)
    except Interrupted:
        yield Finding(f"stopped at epoch {loop.place.epoch}, step {loop.place.step}", 0 < loop.place.step < STEPS)
    with training(run, pack, folder, ranks, STEPS) as loop:
        history = loop.run().history
    losses = [record["loss"] for record in read_metrics(RunFolder.of(folder, run).metrics)]
    yield Finding(f"went on to losses {losses}", len(losses) == run.recipe.epochs and all(map(math.isfinite, losses)))
    steps = [record["step"] for record in history]
    yield Finding(f"counted steps {steps}", steps == [STEPS] * run.recipe.epochs)
    states = [state for optimiser in loop.optimisers.values() for state in optimiser.state.values()]
    moments = [value for state in states for value in state.values() if torch.is_tensor(value)]
    away = sum(value.device != device for value in moments if value.dim())
    yield Finding(f"{away} of {len(moments)} tensors of the optimiser are elsewhere", bool(moments) and not away)


def waiting(run: Pretrain | Finetune, pack: Pack, folder: Path, device: torch.device) -> Iterator[Finding]:
    """Whether a step makes the host wait for the device, which costs speed and is no error."""
    with training(run, pack, folder, Ranks(0, 1, device), STEPS) as loop:
        loop.images = watched(loop.images, device)
        try:
            loop.run()
        except RuntimeError as error:
            if "synchroniz" not in str(error):
                raise
            where = [frame for frame in traceback.extract_tb(error.__traceback__) if "lib/noisewise" in frame.filename]
            lines = " < ".join(f"{Path(frame.filename).name}:{frame.lineno}" for frame in reversed(where))
            yield Finding(f"a step WAITS, {error}: {lines}", True)
        else:
            yield Finding("no step waits for the device", True)


def watched(images: Callable, device: torch.device) -> Callable:
    """The source of images, which fails whatever waits for the device between it and the next step's images."""

    def batches(steps: list[np.ndarray]) -> Iterator[Tensor]:
        source = images(steps)
        for number in range(len(steps)):
            with no_waiting(device) if number == WATCHED else nullcontext():
                yield next(source)

    return batches


@contextmanager
def no_waiting(device: torch.device) -> Iterator[None]:
    """Whatever makes the host wait for the device raises a RuntimeError."""
    if device.type != "cuda":
        yield
        return
    torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode("default")
