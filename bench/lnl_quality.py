"""What do the noisy-label methods gain where half of the labels are wrong? python bench/lnl_quality.py

It fine-tunes a ResNet-18 on a subset of Fashion-MNIST with symmetric noise of .5 by jobs/finetune.py's own way, one run
after the other, each in a process of its own, with bench/lnl_quality.yaml, and prints a table. The subset is the first
2,500 training images, of which a fifth is for validation, and the first 1,000 test images.
Memory is the peak of what is resident, or on a GPU of what torch had there. Words: seeds=3
methods=[cross_entropy,dividemix] rate=0.5 images=2500 threads=1 runs=DIR data=DIR, and keys of every method's recipe,
such as epochs=10. What is done is not done again.
"""

from __future__ import annotations

import gzip
import json
import multiprocessing
import resource
import struct
import sys
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from statistics import mean, median
from typing import Any

from pretrain_quality import spread

from noisewise import cli
from noisewise.data.readers.fashion_mnist import DEBIAN
from noisewise.errors import UserError
from noisewise.grid.single import single_finetune
from noisewise.launch.here import run_here_and_now
from noisewise.launch.submit import make_settings
from noisewise.runs.config import Noise, Run
from noisewise.runs.files import read_json, write_json
from noisewise.runs.folder import RunFolder, Settings

RECIPE = Path(__file__).with_suffix(".yaml")
TEST_IMAGES = 1000
MEMORY = "memory.json"  # in the run's folder
DATASET = """# The first {train} training and {test} test images of Fashion-MNIST; written by bench/lnl_quality.py.
name: {name}
source: {{kind: fashion_mnist, root: {name}}}
images: {images}
size: 28
split: {{val: 0.2}}
augment: {{hflip: true}}
"""


@dataclass
class Words:
    seeds: int = field(default=3, metadata={"help": "of the noise, the initial weights and the order of the images"})
    methods: list[str] = field(
        default_factory=lambda: ["cross_entropy", "coteaching", "dividemix", "elr", "gce", "label_smoothing", "jocor"],
        metadata={"help": "which; times are told as ratios to the first"},
    )
    images: int = field(default=2500, metadata={"help": "training images, of which a fifth is for validation"})
    rate: float = field(default=0.5, metadata={"help": "of symmetric noise"})
    threads: int = field(default=1, metadata={"help": "CPU threads (0: as torch likes)"})
    data: str = field(default="data", metadata={"help": "the data folder"})
    runs: str = field(default="runs/lnl_quality", metadata={"help": "the runs folder"})


def main(words: list[str]) -> int:
    asked, changes = cli.parse(words, Words, extra=True)
    dataset = write_subset(cli.folder(asked.data), asked.images)
    first = asked.methods[0]
    print(f"| method | F1 best | F1 last | last, over {first}'s, by seed | seconds | epoch time | peak memory, MB |")
    print("| --- |" + " ---: |" * 6)
    reference: list[dict[str, Any]] = []
    for method in asked.methods:
        results = [result(asked, dataset, method, seed, changes) for seed in range(asked.seeds)]
        reference = reference or results
        print(_row(method, results, reference), flush=True)
    return cli.DONE


def _row(method: str, results: list[dict[str, Any]], reference: list[dict[str, Any]]) -> str:
    pairs = zip(results, reference, strict=True)
    gains = ", ".join(f"{scores['f1_last'] - base['f1_last']:+.3f}" for scores, base in pairs)
    ratio = mean(scores["epoch_seconds"] for scores in results) / mean(base["epoch_seconds"] for base in reference)
    cells = [spread([scores[column] for scores in results]) for column in ("f1_best", "f1_last")]
    seconds, memory = (mean(scores[column] for scores in results) for column in ("wall_seconds", "memory"))
    return f"| {method} | {' | '.join(cells)} | {gains} | {seconds:.0f} | {ratio:.2f} | {memory:.0f} |"


def write_subset(data: Path, images: int) -> Path:
    """The subset in Fashion-MNIST's own format, and the file of its dataset; returns that file."""
    folder = data / f"fashion_mnist_{images}"
    folder.mkdir(parents=True, exist_ok=True)
    for name, count in (("train", images), ("t10k", TEST_IMAGES)):
        for kind, header, size in (("images-idx3", 16, 28 * 28), ("labels-idx1", 8, 1)):
            with gzip.open(DEBIAN / f"{name}-{kind}-ubyte.gz") as file:
                head, values = file.read(header), file.read(count * size)
            (folder / f"{name}-{kind}-ubyte").write_bytes(head[:4] + struct.pack(">I", count) + head[8:] + values)
    path = folder / f"{folder.name}.yaml"
    counts = {"train": images, "test": TEST_IMAGES, "images": images + TEST_IMAGES}
    path.write_text(DATASET.format(name=folder.name, **counts))
    return path


def result(asked: Words, dataset: Path, method: str, seed: int, changes: dict[str, Any]) -> dict[str, Any]:
    """What result.json says of a run, with `memory` (MB) and `epoch_seconds`: the median, scoring included."""
    run = single_finetune(str(dataset), "random", method, Noise("symmetric", asked.rate), seed, str(RECIPE), changes)
    root, settings = cli.folder(asked.runs), make_settings(asked.data, asked.threads)
    folder = RunFolder.of(root, run)
    for each in (run.prepare, run):
        if not RunFolder.of(root, each).result.exists():
            _in_a_process(each, root, settings)
    times = [json.loads(line)["time"] for line in folder.metrics.read_text().splitlines()]
    seconds = median(after - before for before, after in pairwise(times))
    return {**folder.glance(), **read_json(folder.path / MEMORY), "epoch_seconds": seconds}


def _in_a_process(run: Run, root: Path, settings: Settings) -> None:
    process = multiprocessing.get_context("spawn").Process(target=_work, args=(run, root, settings))
    process.start()
    process.join()
    if process.exitcode:
        raise UserError(f"{run.name} failed; see {RunFolder.of(root, run).path}/failure.json.")


def _work(run: Run, root: Path, settings: Settings) -> None:
    import torch

    if run_here_and_now(run, root, settings):
        sys.exit(1)
    on_gpu = torch.cuda.is_available()
    peak = torch.cuda.max_memory_allocated() if on_gpu else 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    write_json(RunFolder.of(root, run).path / MEMORY, {"memory": peak / 1e6})


if __name__ == "__main__":
    cli.run(main, __doc__, Words)
