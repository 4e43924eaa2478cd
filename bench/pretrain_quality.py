"""Does each pretraining learn? kNN macro-F1 before and after, three seeds each: python bench/pretrain_quality.py

It pretrains on 5% of Fashion-MNIST (apt-get install dataset-fashion-mnist) by jobs/pretrain.py's own way, one run after
the other, with bench/pretrain_quality.yaml, and prints a table. Words: seeds=3 methods=[simclr,vae] runs=DIR data=DIR.
What is done is not done again.
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
from noisewise.runs.folder import RunFolder
from noisewise.runs.methods import PRETRAIN

RECIPE = Path(__file__).with_suffix(".yaml")
FRACTION = 0.05
COLUMNS = ("initial_knn_f1", "knn_f1", "initial_linear_f1", "linear_f1", "rankme")


@dataclass
class Words:
    seeds: int = field(default=3, metadata={"help": "of the initial weights and the order of the images"})
    methods: list[str] = field(default_factory=lambda: list(PRETRAIN), metadata={"help": "which"})
    dataset: str = field(default="fashion_mnist", metadata={"help": "which images"})
    data: str = field(default="data", metadata={"help": "the data folder"})
    runs: str = field(default="runs/pretrain_quality", metadata={"help": "the runs folder"})


def main(words: list[str]) -> int:
    asked, _ = cli.parse(words, Words)
    print("| method | " + " | ".join(COLUMNS) + " | gain in kNN F1, by seed | seconds a run |")
    print("| --- |" + " ---: |" * (len(COLUMNS) + 2))
    for method in asked.methods:
        results = [_result(asked, method, seed) for seed in range(asked.seeds)]
        cells = [_spread([result[column] for result in results]) for column in COLUMNS]
        gains = [result["knn_f1"] - result["initial_knn_f1"] for result in results]
        by_seed = ", ".join(f"{gain:+.3f}" for gain in gains)
        seconds = mean(result["wall_seconds"] for result in results)
        print(f"| {method} | {' | '.join(cells)} | {by_seed} | {seconds:.0f} |", flush=True)
    return cli.DONE


def _result(asked: Words, method: str, seed: int) -> dict[str, Any]:
    overrides = {"data": {"fraction": FRACTION}}
    run = single_pretrain(asked.dataset, method, "random", seed, str(RECIPE), overrides)
    root = cli.folder(asked.runs)
    if run_here_and_now(run, root, make_settings(asked.data)):
        raise UserError(f"{run.name} failed; see {RunFolder.of(root, run).path}/failure.json.")
    return RunFolder.of(root, run).glance()


def _spread(values: list[float]) -> str:
    digits = 3 if max(values) <= 1 else 1
    return f"{mean(values):.{digits}f}" + (f" ± {stdev(values):.{digits}f}" if len(values) > 1 else "")


if __name__ == "__main__":
    cli.run(main, __doc__, Words)
