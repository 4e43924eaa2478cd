"""Images a second from JPEGs to a pack: noisewise's conversion against FFCV's DatasetWriter and PIL alone, in one run.

    python bench/convert.py [--images 3000] [--rounds 3] [--save bench/convert.md]

From 500x400 JPEGs of about 60 KB to 256 px, with as many workers as there are cores, the cases taking turns:

- noisewise: `prepare`, raw and JPEG. Decoding, resizing, hashing, checking, the index and contact sheets are in it.
- FFCV: `DatasetWriter.from_indexed_dataset` over an ImageFolder whose images PIL makes 256x256 (bilinear, antialiased,
  as ours), write_mode raw and jpg; and with its own resizing instead, which keeps the sides' ratio: 256x205, a fifth
  fewer pixels.
- PIL alone: opening, converting and resizing in a pool of processes, writing nothing.

Importing FFCV (some seconds, once a conversion) is left out for all. Then the trade between raw and JPEG packs: bytes
on the disk, the difference to the directly resized image, and images a second read back at random.
"""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "lib"))

from noisewise.data.images import open_square
from noisewise.data.loader import open_images
from noisewise.data.pack import Pack
from noisewise.data.prepare import prepare
from noisewise.runs.config import Prepare, Source

SIZE, BATCH, QUALITY = 256, 256, 95
CORES = len(os.sched_getaffinity(0))
LARGE = 100_000  # images, of which the time is stated


def make_images(folder: Path, count: int) -> None:
    """JPEGs of 500x400 like photographs: smooth random fields at several scales, and some grain."""
    from loader import make_images as make_one_size

    make_one_size(folder, count)


def noisewise(format: str, data: Path) -> None:
    shutil.rmtree(data / "packs", ignore_errors=True)
    prepare(Prepare("bench", Source(root="images"), size=SIZE, format=format, quality=QUALITY), data)


def ffcv(mode: str, data: Path, resize: bool = True) -> None:
    from ffcv.fields import IntField, RGBImageField
    from ffcv.writer import DatasetWriter
    from torchvision.datasets import ImageFolder

    image = RGBImageField(write_mode=mode, max_resolution=None if resize else SIZE, jpeg_quality=QUALITY)
    writer = DatasetWriter(str(data / "peer.beton"), {"image": image, "label": IntField()}, num_workers=CORES)
    writer.from_indexed_dataset(ImageFolder(data / "images", _squared if resize else None))


def _squared(image: Image.Image) -> Image.Image:
    return image.resize((SIZE, SIZE), Image.Resampling.BILINEAR)


def pil(data: Path) -> None:
    with ProcessPoolExecutor(CORES) as pool:
        for _ in pool.map(_open_with_pil, sorted((data / "images").rglob("*.jpg")), chunksize=32):
            pass


def _open_with_pil(path: Path) -> None:
    with Image.open(path) as image:
        np.asarray(_squared(image.convert("RGB")))


CASES: dict[str, Callable[[Path], None]] = {
    "noisewise, raw": lambda data: noisewise("raw", data),
    "noisewise, JPEG": lambda data: noisewise("jpeg", data),
    "FFCV, raw": lambda data: ffcv("raw", data),
    "FFCV, JPEG": lambda data: ffcv("jpg", data),
    "FFCV, raw, its own resizing": lambda data: ffcv("raw", data, resize=False),
    "PIL alone, nothing written": pil,
}


def measure(data: Path, count: int, rounds: int) -> dict[str, list[float]]:
    """Images a second of each case and round."""
    import ffcv.loader  # noqa: F401  compiles nothing yet; some seconds that all cases would pay alike
    import ffcv.writer  # noqa: F401

    speeds: dict[str, list[float]] = {name: [] for name in CASES}
    for _ in range(rounds):
        for name, case in CASES.items():
            began = time.perf_counter()
            case(data)
            speeds[name].append(count / (time.perf_counter() - began))
            print(f"{name}: {speeds[name][-1]:.0f} images/s", file=sys.stderr, flush=True)
    return speeds


def trade(data: Path) -> list[str]:
    """Rows on what a raw and a JPEG pack cost and give."""
    files = sorted((data / "images").rglob("*.jpg"))[:200]
    direct = np.stack([open_square(path, SIZE, "resize") for path in files]).astype(int)
    rows = [
        "| pack | bytes an image | difference to a direct resize, of 255 | images/s read back |",
        "|---|--:|--:|--:|",
    ]
    for format in ("raw", "jpeg"):
        pack = prepare(Prepare("bench", Source(root="images"), size=SIZE, format=format, quality=QUALITY), data)
        source = open_images(pack, torch.device("cpu"))
        found = torch.cat(list(source.batches([np.arange(len(files))]))).numpy().astype(int)
        difference = np.abs(found - direct)
        name = "raw" if format == "raw" else f"JPEG, quality {QUALITY}"
        kept = f"mean {difference.mean():.2f}, greatest {difference.max()}"
        rows.append(f"| {name} | {pack.sizes.mean():,.0f} | {kept} | {_read_back(source, pack):,.0f} |")
        source.close()
    return rows


def _read_back(source: object, pack: Pack) -> float:
    """Images a second, in random order; the second pass counts, what is compiled once is compiled then."""
    for seed in range(2):
        order = np.random.default_rng(seed).permutation(len(pack))
        began = time.perf_counter()
        for _ in source.batches(np.array_split(order, max(1, len(order) // BATCH))):
            pass
    return len(pack) / (time.perf_counter() - began)


def report(speeds: dict[str, list[float]], rows: list[str], words: argparse.Namespace) -> str:
    best = {name: max(found) for name, found in speeds.items()}
    packages = ("torch", "numpy", "pillow", "opencv-python-headless", "ffcv")
    versions = ", ".join(f"{name} {version(name)}" for name in packages)
    lines = [
        "# Conversion, measured",
        "",
        f"{time.strftime('%Y-%m-%d')}, {CORES}-core {platform.machine()} CPU, Python {platform.python_version()}, "
        f"{versions}; load average {os.getloadavg()[1]:.1f}.",
        "",
        f"    python bench/convert.py --images {words.images} --rounds {words.rounds}",
        "",
        "| 500x400 JPEG to 256 px | images/s, fastest round | median |",
        "|---|--:|--:|",
        *(f"| {name} | {best[name]:,.0f} | {statistics.median(found):,.0f} |" for name, found in speeds.items()),
        "",
        f"noisewise / FFCV: raw {best['noisewise, raw'] / best['FFCV, raw']:.2f}, "
        f"JPEG {best['noisewise, JPEG'] / best['FFCV, JPEG']:.2f}. "
        f"noisewise, raw / PIL alone: {best['noisewise, raw'] / best['PIL alone, nothing written']:.2f}.",
        f"At that speed {LARGE:,} such images take {LARGE / best['noisewise, raw'] / 60:.1f} minutes on {CORES} cores.",
        "",
        *rows,
    ]
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=3000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--save", type=Path)
    words = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder)
        make_images(data, words.images)
        text = report(measure(data, words.images, words.rounds), trade(data), words)
    print(text)
    if words.save:
        words.save.write_text(text)


if __name__ == "__main__":
    main()
