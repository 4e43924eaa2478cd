"""Does the audit find flipped labels? Against cleanlab on the same probabilities: python bench/audit.py

It fine-tunes on noisy labels by jobs/finetune.py's own way, one run after the other, and prints two tables: average
precision of finding the flipped labels, by source of probabilities and by cleanlab's rankings; and the noise rate and
transition matrix, estimated by ours and by cleanlab's. Words: cases=[0,1] of CASES, recipe=demo threads=0 runs=DIR
data=DIR. What is done is not done again.
"""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from cleanlab.count import compute_confident_joint, estimate_latent
from cleanlab.rank import get_label_quality_scores
from sklearn.metrics import average_precision_score

from noisewise import cli
from noisewise.audit.engine import initial_features
from noisewise.audit.estimate import estimate_noise
from noisewise.audit.probabilities import combine, cross_validated, read_network
from noisewise.audit.rank import rank_labels
from noisewise.data.loader import open_images
from noisewise.data.pack import Pack, pack_folder
from noisewise.errors import UserError
from noisewise.grid import noises
from noisewise.grid.single import single_finetune
from noisewise.launch.here import run_here_and_now
from noisewise.launch.submit import make_settings
from noisewise.runs.config import Finetune
from noisewise.runs.folder import RunFolder, Settings
from noisewise.train.ranks import joined

CASES = (  # dataset, share of its training images, method, kind and rate of the noise, epochs
    ("elpv", 1.0, "cross_entropy", "symmetric", 0.2, 6),
    ("elpv", 1.0, "coteaching", "class_dependent", 0.3, 6),
    ("elpv", 1.0, "coteaching", "symmetric", 0.4, 6),
    ("fashion_mnist", 0.04, "cross_entropy", "class_dependent", 0.3, 6),
    ("fashion_mnist", 0.04, "coteaching", "symmetric", 0.4, 6),
)
RANKINGS = ("self_confidence", "normalized_margin", "confidence_weighted_entropy")


@dataclass
class Words:
    cases: list[int] = field(default_factory=lambda: list(range(len(CASES))), metadata={"help": "which of CASES"})
    recipe: str = field(default="demo", metadata={"help": "hyper-parameters"})
    threads: int = field(default=0, metadata={"help": "CPU threads (0: as torch likes)"})
    data: str = field(default="data", metadata={"help": "the data folder"})
    runs: str = field(default="runs/audit", metadata={"help": "the runs folder"})


def main(words: list[str]) -> int:
    asked, _ = cli.parse(words, Words)
    settings, root = make_settings(asked.data, asked.threads), cli.folder(asked.runs)
    found = []
    for number in asked.cases:
        dataset, fraction, method, kind, rate, epochs = CASES[number]
        changes = {"epochs": epochs, "data": {"fraction": fraction}}
        run = single_finetune(dataset, "random", method, noises.one(kind, rate, "", "CASES"), 0, asked.recipe, changes)
        if run_here_and_now(run, root, settings):
            raise UserError(f"{run.name} failed; see {RunFolder.of(root, run).path}/failure.json.")
        found.append((run.name, *measure(run, RunFolder.of(root, run), settings)))
    show("average precision", [(name, ranked) for name, ranked, _ in found])
    show("estimates", [(name, estimated) for name, _, estimated in found])
    return cli.DONE


def measure(run: Finetune, folder: RunFolder, settings: Settings) -> tuple[dict[str, float], dict[str, float]]:
    """Average precisions, and estimates, of a run that is done."""
    kept = read_network(folder)
    given, clean, network = kept["given"], kept["clean"], kept["best"]
    pack = Pack.open(pack_folder(Path(settings.data), run.prepare))
    with joined(settings.device) as ranks, closing(open_images(pack, ranks.device, kept["index"])) as source:
        features = initial_features(run, folder, settings, source, kept["index"], ranks)
    crossed = cross_validated(features, given, len(pack.classes))
    both = combine(network, crossed)
    both /= both.sum(axis=1, keepdims=True)  # cleanlab wants rows that sum to one in double precision

    def ours(probabilities: np.ndarray) -> float:
        return average_precision_score(given != clean, rank_labels(probabilities, given).score)

    ranked = {"by chance": np.mean(given != clean), "network": ours(network), "cross-validated": ours(crossed)}
    ranked["both (audit)"] = ours(both)
    for name in RANKINGS:
        quality = get_label_quality_scores(given, both, method=name)
        ranked[f"cleanlab {name}"] = average_precision_score(given != clean, -quality)
    return ranked, estimates(both, given, clean)


def estimates(probabilities: np.ndarray, given: np.ndarray, clean: np.ndarray) -> dict[str, float]:
    """Rates, and mean absolute errors of transition matrices; precision among the suspects."""
    true = np.zeros((probabilities.shape[1],) * 2)
    np.add.at(true, (clean, given), 1)
    true /= true.sum(axis=1, keepdims=True)
    noise, joint = estimate_noise(probabilities, given), compute_confident_joint(given, probabilities)
    theirs = estimate_latent(joint, given)[1].T
    wrong, ranking = given != clean, rank_labels(probabilities, given)
    suspects = ranking.order[: round(noise.rate * len(given))]
    return {
        "realised rate": wrong.mean(),
        "audit": noise.rate,
        "cleanlab": 1 - np.trace(joint) / joint.sum(),
        "matrix error, audit": np.abs(noise.transition - true).mean(),
        "matrix error, cleanlab": np.abs(theirs - true).mean(),
        "suspects' precision": wrong[suspects].mean() if len(suspects) else np.nan,
    }


def show(title: str, rows: list[tuple[str, dict[str, Any]]]) -> None:
    """A Markdown table with a line a run."""
    columns = list(rows[0][1])
    print(f"\n| {title} | {' | '.join(columns)} |\n| --- |{' ---: |' * len(columns)}")
    for name, values in rows:
        print(f"| {name} | {' | '.join(f'{values[column]:.3f}' for column in columns)} |")


if __name__ == "__main__":
    cli.run(main, __doc__, Words)
