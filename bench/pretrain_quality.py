"""Does each pretraining learn? kNN macro-F1 before and after, three seeds each: python bench/pretrain_quality.py

It pretrains on elpv by jobs/pretrain.py's own way, one run after the other, with bench/pretrain_quality.yaml, and
prints a table. Words: seeds=3 methods=[simclr,vae] dataset=elpv threads=0 runs=DIR data=DIR. What is done is not done
again.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from noisewise import cli
from noisewise.errors import UserError
from noisewise.grid.single import single_pretrain
from noisewise.launch.here import run_here_and_now
from noisewise.launch.submit import make_settings
from noisewise.runs.config import Pretrain
from noisewise.runs.folder import RunFolder
from noisewise.runs.methods import PRETRAIN

RECIPE = Path(__file__).with_suffix(".yaml")
RUNS = "runs/pretrain_quality"
COLUMNS = ("initial_knn_f1", "knn_f1", "initial_linear_f1", "linear_f1", "rankme")


@dataclass
class Words:
    seeds: int = field(default=3, metadata={"help": "of the initial weights and the order of the images"})
    methods: list[str] = field(default_factory=lambda: list(PRETRAIN), metadata={"help": "which"})
    dataset: str = field(default="elpv", metadata={"help": "which images"})
    threads: int = field(default=0, metadata={"help": "CPU threads (0: as torch likes)"})
    data: str = field(default="data", metadata={"help": "the data folder"})
    runs: str = field(default=RUNS, metadata={"help": "the runs folder"})


def main(words: list[str]) -> int:
    asked, _ = cli.parse(words, Words)
    print("| method | " + " | ".join(COLUMNS) + " | gain in kNN F1, by seed | seconds a run |")
    print("| --- |" + " ---: |" * (len(COLUMNS) + 2))
    for method in asked.methods:
        results = [result(asked, method, seed) for seed in range(asked.seeds)]
        cells = [spread([scores[column] for scores in results]) for column in COLUMNS]
        gains = [scores["knn_f1"] - scores["initial_knn_f1"] for scores in results]
        by_seed = ", ".join(f"{gain:+.3f}" for gain in gains)
        seconds = mean(scores["wall_seconds"] for scores in results)
        print(f"| {method} | {' | '.join(cells)} | {by_seed} | {seconds:.0f} |", flush=True)
    return cli.DONE


def make_run(dataset: str, method: str, seed: int) -> Pretrain:
    return single_pretrain(dataset, method, "random", seed, str(RECIPE), {})


def result(asked: Any, method: str, seed: int) -> dict[str, Any]:
    """What result.json says of a run, which is run now unless it was before; `asked` has dataset, threads, folders."""
    run, root = make_run(asked.dataset, method, seed), cli.folder(asked.runs)
    if run_here_and_now(run, root, make_settings(asked.data, asked.threads)):
        raise UserError(f"{run.name} failed; see {RunFolder.of(root, run).path}/failure.json.")
    return RunFolder.of(root, run).glance()


def spread(values: list[float]) -> str:
    """Mean and standard deviation, in words."""
    digits = 3 if max(values) <= 1 else 1
    return f"{mean(values):.{digits}f}" + (f" ± {stdev(values):.{digits}f}" if len(values) > 1 else "")


if __name__ == "__main__":
    cli.run(main, __doc__, Words)
