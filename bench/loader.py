"""Images a second, seconds to the first batch and memory: noisewise's loader against torchvision's, in one run.

    python bench/loader.py [--images 1200] [--seconds 2] [--rounds 2] [--save bench/loader.md]

1. uint8 batches of 256 px from 500x400 JPEGs: ImageFolder + DataLoader (the better of 0 and 2 workers), a raw pack
   through noisewise, and a bare gather from that pack's memory map into one buffer on 1 and on 2 threads. noisewise
   gathers on 2 threads, so the memory map on 2 is its limit.
2. Two augmented SimCLR views of 64 px on the CPU: torchvision's transforms in ImageFolder + DataLoader, on the same
   JPEGs, against a raw pack of 96 px, gathered as above, and `Augmenter` (the better of 1 and 2 torch threads). Both
   use one recipe.

Every case runs in a fresh process of its own, the cases taking turns; of the rounds the fastest counts, since
whatever else the machine does can only slow a case down. The clock of "first batch" starts when the libraries are
imported and stops when the batch is there: opening the files, starting workers and reading are in it, imports (printed
beside it) are not. Memory is what the process and its workers hold while some more batches are made, looked at every
20 ms, at its peak: the proportional set size, in which a page that several share counts once, without files' pages.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "lib"))

BATCH = 256
SIZES = {"pixels": 256, "views": 96}  # px of the packs
VIEW = 64
GATHERING = 2  # threads of noisewise's raw packs
OURS, LIMIT = f"noisewise ({GATHERING} gathering threads)", f"memory map, {GATHERING} threads"
# What is measured -> its rows -> what makes the batches, and on how many workers or threads.
PEERS = {"torchvision, 0 workers": ("torchvision", 0), "torchvision, 2 workers": ("torchvision", 2)}
CASES = {
    "pixels": {**PEERS, OURS: ("noisewise", 1), "memory map, 1 thread": ("memory map", 1), LIMIT: ("memory map", 2)},
    "views": {**PEERS, f"{OURS}, 1 torch thread": ("noisewise", 1), f"{OURS}, 2 torch threads": ("noisewise", 2)},
}
TITLES = {
    "pixels": f"uint8 batches, {SIZES['pixels']} px, from 500x400 JPEGs",
    "views": f"two SimCLR views, {VIEW} px, on the CPU (torchvision: the JPEGs; noisewise: a {SIZES['views']} px pack)",
}


def make_images(folder: Path, count: int) -> None:
    """JPEGs of 500x400 like photographs: smooth random fields at several scales, and some grain."""
    import numpy as np
    from PIL import Image

    for number in range(count):
        rng = np.random.default_rng(number)
        field = np.zeros((400, 500, 3), np.float32)
        for scale in (4, 12, 40, 120):
            coarse = Image.fromarray(rng.integers(0, 256, (scale, scale, 3), dtype=np.uint8))
            field += np.asarray(coarse.resize((500, 400), Image.Resampling.BICUBIC), np.float32) / 4
        field += rng.normal(0, 4, field.shape)
        path = folder / "images" / "ab"[number % 2] / f"{number:05}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(field.clip(0, 255).astype(np.uint8)).save(path, quality=90)


def pack_of(task: str, data: Path) -> object:
    """The raw pack of a task, made at the first call."""
    from noisewise.data.prepare import prepare
    from noisewise.runs.config import Prepare, Source

    return prepare(Prepare("bench", Source(root="images"), size=SIZES[task]), data)


def steps(count: int) -> Iterator:
    """Random batches without an end."""
    import numpy as np

    rng = np.random.default_rng(0)
    while True:
        order = rng.permutation(count)
        yield from (order[start : start + BATCH] for start in range(0, count - BATCH + 1, BATCH))


def torchvision_batches(task: str, data: Path, workers: int) -> Callable[[], Iterator]:
    import numpy as np
    import torch
    from torch.utils.data import DataLoader
    from torchvision import transforms as t
    from torchvision.datasets import ImageFolder

    from noisewise.runs.config import Normalise
    from noisewise.runs.methods import SimCLR

    def pixels(image: object) -> torch.Tensor:
        return torch.from_numpy(np.array(image.resize((SIZES["pixels"],) * 2, 2)))

    recipe, normalise = SimCLR().augmentation, Normalise()
    jitter = t.ColorJitter(recipe.brightness, recipe.contrast, recipe.saturation, recipe.hue)
    view = t.Compose(
        [
            t.RandomResizedCrop(VIEW, (recipe.crop_min, recipe.crop_max)),
            t.RandomHorizontalFlip(),
            t.RandomApply([jitter], recipe.jitter_p),
            t.RandomGrayscale(recipe.grey_p),
            t.RandomApply([t.GaussianBlur(7, (0.1 * VIEW / 224, 2.0 * VIEW / 224))], recipe.blur_p),
            t.ToTensor(),
            t.Normalize(normalise.mean, normalise.std),
        ]
    )

    def batches() -> Iterator:
        folder = ImageFolder(data / "images", pixels if task == "pixels" else lambda image: (view(image), view(image)))
        loader = DataLoader(folder, BATCH, True, num_workers=workers, drop_last=True, persistent_workers=workers > 0)
        while True:
            yield from (images for images, _ in loader)

    return batches


def noisewise_batches(task: str, data: Path, threads: int) -> Callable[[], Iterator]:
    import torch

    from noisewise.data import raw_images
    from noisewise.data.augment import Augmenter
    from noisewise.data.loader import open_images
    from noisewise.data.pack import Pack, pack_folder
    from noisewise.runs.config import Invariance, Normalise, Prepare, Source
    from noisewise.runs.methods import SimCLR

    torch.set_num_threads(threads)
    if raw_images.THREADS != GATHERING:
        raise SystemExit(f"raw packs are gathered on {raw_images.THREADS} threads: set GATHERING here to that")

    def batches() -> Iterator:
        pack = Pack.open(pack_folder(data, Prepare("bench", Source(root="images"), size=SIZES[task])))
        source = open_images(pack, torch.device("cpu"))
        epochs = steps(len(pack))
        augment = Augmenter(SimCLR().augmentation, Invariance(), VIEW, Normalise())
        generator = torch.Generator().manual_seed(0)
        while True:
            for images in source.batches([next(epochs) for _ in range(len(pack) // BATCH)]):
                yield images if task == "pixels" else (augment(images, generator), augment(images, generator))

    return batches


def memory_map_batches(task: str, data: Path, threads: int) -> Callable[[], Iterator]:
    from concurrent.futures import ThreadPoolExecutor

    import numpy as np

    from noisewise.data.pack import Pack, pack_folder
    from noisewise.runs.config import Prepare, Source

    def batches() -> Iterator:
        pack = Pack.open(pack_folder(data, Prepare("bench", Source(root="images"), size=SIZES[task])))
        memory, length = np.memmap(pack.beton, np.uint8, "r").view(np.ndarray), SIZES[task] ** 2 * 3
        out = np.empty((BATCH, length), np.uint8)

        def copy(rows: np.ndarray, offsets: np.ndarray) -> None:
            for row, start in zip(rows, offsets.tolist(), strict=True):
                row[:] = memory[start : start + length]

        with ThreadPoolExecutor(threads) as pool:
            for step in steps(len(pack)):
                list(pool.map(copy, np.array_split(out, threads), np.array_split(pack.offsets[step], threads)))
                yield out

    return batches


MAKERS = {"torchvision": torchvision_batches, "noisewise": noisewise_batches, "memory map": memory_map_batches}


def measure(task: str, case: str, data: Path, seconds: float) -> dict[str, float]:
    """One case, in this process: imports, first batch, then at full speed for some seconds."""
    began = time.perf_counter()
    name, number = CASES[task][case]
    make = MAKERS[name](task, data, number)
    imported = time.perf_counter()
    batches = make()
    next(batches)
    first = time.perf_counter()
    next(batches)
    count, start = 0, time.perf_counter()
    while time.perf_counter() - start < seconds or count < 3:
        next(batches)
        count += 1
    speed = count * BATCH / (time.perf_counter() - start)
    found = {
        "speed": speed,
        "import": imported - began,
        "first": first - imported,
        "memory": peak_memory(batches, seconds),
    }
    batches.close()
    return found


def peak_memory(batches: Iterator, seconds: float) -> float:
    """MB that this process and its workers hold at the peak of some more seconds of batches."""
    seen, done = [held_memory()], threading.Event()

    def watch() -> None:
        while not done.wait(0.02):
            seen.append(held_memory())

    watcher = threading.Thread(target=watch)
    watcher.start()
    count, start = 0, time.perf_counter()
    while time.perf_counter() - start < seconds or count < 3:
        next(batches)
        count += 1
    done.set()
    watcher.join()
    return max(seen)


def held_memory() -> float:
    """MB of this process and its children now: the proportional set size, without the pages of files."""
    pids = [str(os.getpid()), *Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()]
    lines = [line for pid in pids for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()]
    return sum(float(line.split()[1]) for line in lines if line.startswith(("Pss_Anon", "Pss_Shmem"))) * 1024 / 1e6


def run_cases(data: Path, seconds: float, rounds: int) -> dict[str, dict[str, dict[str, float]]]:
    """Every case in turn, in processes of their own; the best round of each, figure by figure."""
    found: dict[str, dict[str, dict[str, float]]] = {task: {} for task in CASES}
    for turn in range(rounds):
        for task, cases in CASES.items():
            for case in cases:
                print(f"round {turn + 1}/{rounds}: {task}, {case} ...", file=sys.stderr)
                command = [sys.executable, __file__, "--case", task, case, str(data), "--seconds", str(seconds)]
                now = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
                best = found[task].setdefault(case, now)
                found[task][case] = {key: (max if key == "speed" else min)(best[key], now[key]) for key in now}
    return found


def report(found: dict[str, dict[str, dict[str, float]]]) -> str:
    """The tables, and what they say of the targets."""
    lines = []
    for task, cases in found.items():
        header = ["| | images/s | first batch, s | import, s | memory, MB |", "|---|--:|--:|--:|--:|"]
        lines += [f"\n**{TITLES[task]}**\n", *header]
        for case, now in cases.items():
            values = f"{now['speed']:,.0f} | {now['first']:.2f} | {now['import']:.2f} | {now['memory']:,.0f}"
            lines.append(f"| {case} | {values} |")
        ours, peer = (best_speed(cases, name) for name in ("noisewise", "torchvision"))
        target = {"pixels": 10, "views": 3}[task]
        lines += ["", f"noisewise / the better torchvision: {ours / peer:.1f} (target {target})."]
        first = min(now["first"] for case, now in cases.items() if case.startswith("noisewise"))
        lines.append(f"noisewise's first batch: {first:.2f} s (target 1).")
        if LIMIT in cases:
            lines.append(f"noisewise / {LIMIT}: {ours / cases[LIMIT]['speed']:.2f} (target 0.8).")
    return "\n".join(lines)


def best_speed(cases: dict[str, dict[str, float]], name: str) -> float:
    """Images a second of the fastest case whose name begins so."""
    return max(now["speed"] for case, now in cases.items() if case.startswith(name))


def machine() -> str:
    """The processor, the versions measured with, and how busy the processor is before anything is measured."""
    from importlib.metadata import version

    names = ("torch", "torchvision", "numpy", "pillow", "ffcv")
    cores = len(os.sched_getaffinity(0))
    versions = ", ".join(f"{name} {version(name)}" for name in names)
    load = f"load average at the start {os.getloadavg()[0]:.1f} (the last minute's; 0 is a quiet machine)"
    return f"{cores}-core {platform.machine()} CPU, Python {platform.python_version()}, {versions}; {load}"


def main() -> None:
    parser = argparse.ArgumentParser(description="noisewise's loader against torchvision's")
    parser.add_argument("--images", type=int, default=1200, help="how many JPEGs to make")
    parser.add_argument("--seconds", type=float, default=2, help="of measuring, each case")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--save", type=Path, help="write the tables to this file")
    parser.add_argument("--case", nargs=3, help=argparse.SUPPRESS)
    words = parser.parse_args()
    if words.case:
        print(json.dumps(measure(words.case[0], words.case[1], Path(words.case[2]), words.seconds)))
        return
    measured_on = machine()
    print(measured_on, file=sys.stderr)
    with tempfile.TemporaryDirectory() as temporary:
        data = Path(temporary)
        print(f"making {words.images} JPEGs and two packs ...", file=sys.stderr)
        make_images(data, words.images)
        for task in SIZES:
            pack_of(task, data)
        text = report(run_cases(data, words.seconds, words.rounds))
    command = f"python bench/loader.py --images {words.images} --seconds {words.seconds:g} --rounds {words.rounds}"
    text = f"# The loader, measured\n\n{time.strftime('%Y-%m-%d')}, {measured_on}.\n\n    {command}\n{text}\n"
    print(text)
    if words.save:
        words.save.write_text(text)


if __name__ == "__main__":
    main()
