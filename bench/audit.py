"""Does the audit find flipped labels? Against cleanlab on the same probabilities: python bench/audit.py

Two parts, each a table of average precisions of finding the flipped labels and one of estimates, ours and cleanlab's:

1. Fine-tunings on noisy labels by jobs/finetune.py's own way, one after the other (`cases=[0,1]` of CASES). What is
   done is not done again.
2. Many kinds of noise, without training: cross-validated logistic regression on a random network's features alone
   (`datasets=[elpv]` of DATASETS).

Other words: recipe=demo threads=0 runs=DIR data=DIR.
"""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from cleanlab.count import compute_confident_joint, estimate_latent
from cleanlab.rank import get_label_quality_scores
from sklearn.metrics import average_precision_score

from noisewise import cli
from noisewise.audit.estimate import estimate_noise
from noisewise.audit.probabilities import combine, cross_validated, read_network
from noisewise.audit.rank import rank_labels
from noisewise.data.loader import open_images
from noisewise.data.noise import label_set
from noisewise.data.pack import Pack, pack_folder
from noisewise.data.prepare import prepare
from noisewise.data.subset import training_images
from noisewise.errors import UserError
from noisewise.finetune.initial_features import initial_features
from noisewise.grid import noises
from noisewise.grid.single import single_finetune
from noisewise.launch.here import run_here_and_now
from noisewise.launch.submit import make_settings
from noisewise.runs.config import Finetune
from noisewise.runs.folder import RunFolder, Settings
from noisewise.train.ranks import joined

CASES = (  # dataset, method, kind and rate of the noise, epochs
    ("elpv", "cross_entropy", "symmetric", 0.2, 10),
    ("elpv", "coteaching", "symmetric", 0.4, 6),
    ("fashion_mnist", "cross_entropy", "symmetric", 0.4, 6),
    ("fashion_mnist", "coteaching", "class_dependent", 0.3, 6),
)
DATASETS = {"elpv": 1.0, "fashion_mnist": 0.04}  # and the share of its training images
NOISES = (("none", 0.0), ("symmetric", 0.1), ("symmetric", 0.4), ("class_dependent", 0.3), ("pairflip", 0.3))
RANKINGS = ("self_confidence", "normalized_margin", "confidence_weighted_entropy")


@dataclass
class Words:
    cases: list[int] = field(default_factory=lambda: list(range(len(CASES))), metadata={"help": "which of CASES"})
    datasets: list[str] = field(default_factory=lambda: list(DATASETS), metadata={"help": "which of DATASETS"})
    recipe: str = field(default="demo", metadata={"help": "hyper-parameters"})
    threads: int = field(default=0, metadata={"help": "CPU threads (0: as torch likes)"})
    data: str = field(default="data", metadata={"help": "the data folder"})
    runs: str = field(default="runs/audit", metadata={"help": "the runs folder"})


def main(words: list[str]) -> int:
    asked, _ = cli.parse(words, Words)
    settings, root = make_settings(asked.data, asked.threads), cli.folder(asked.runs)
    if asked.cases:
        found = []
        for number in asked.cases:
            dataset, method, kind, rate, epochs = CASES[number]
            run = make_run(dataset, method, kind, rate, asked.recipe, epochs)
            if run_here_and_now(run, root, settings):
                raise UserError(f"{run.name} failed; see {RunFolder.of(root, run).path}/failure.json.")
            found.append((run.name, *trained(run, RunFolder.of(root, run), settings)))
        show(found)
    for dataset in asked.datasets:
        show(untrained(dataset, asked.recipe, root, settings))
    return cli.DONE


def make_run(dataset: str, method: str, kind: str, rate: float, recipe: str, epochs: int) -> Finetune:
    changes = {"epochs": epochs, "data": {"fraction": DATASETS[dataset]}}
    return single_finetune(dataset, "random", method, noises.one(kind, rate, "", "CASES"), 0, recipe, changes)


def trained(run: Finetune, folder: RunFolder, settings: Settings) -> tuple[dict[str, float], dict[str, float]]:
    """Average precisions, and estimates, of a run that is done."""
    kept = read_network(folder)
    pack = Pack.open(pack_folder(Path(settings.data), run.prepare))
    features = features_of(run, folder, settings, pack, kept["index"])
    crossed = cross_validated(features, kept["given"], len(pack.classes))
    return compare(kept["best"], crossed, kept["given"], kept["clean"])


def untrained(dataset: str, recipe: str, root: Path, settings: Settings) -> list[tuple]:
    """Name, average precisions and estimates for each of NOISES."""
    run = make_run(dataset, "cross_entropy", "none", 0.0, recipe, 10)
    pack = prepare(run.prepare, Path(settings.data))
    features = features_of(run, RunFolder.of(root, run), settings, pack, training_images(pack, run.fraction))
    found = []
    for kind, rate in NOISES:
        noise = make_run(dataset, "cross_entropy", kind, rate, recipe, 10).noise
        labels = label_set(pack, noise, run.fraction)
        crossed = cross_validated(features, labels.labels, len(pack.classes))
        found.append((f"{dataset}, {kind} {rate:g}", *compare(None, crossed, labels.labels, labels.clean)))
    return found


def features_of(run: Finetune, folder: RunFolder, settings: Settings, pack: Pack, index: np.ndarray) -> np.ndarray:
    with joined(settings.device) as ranks, closing(open_images(pack, ranks.device, index)) as source:
        return initial_features(run, folder, settings, source, index, ranks)


def compare(
    network: np.ndarray | None, crossed: np.ndarray, given: np.ndarray, clean: np.ndarray
) -> tuple[dict[str, float], dict[str, float]]:
    """Average precisions, and estimates; without a network's probabilities, by the cross-validated ones alone."""
    wrong = given != clean
    judged = crossed if network is None else combine(network, crossed)
    judged = judged / judged.sum(axis=1, keepdims=True)  # cleanlab wants rows that sum to one in double precision

    def precision(doubt: np.ndarray) -> float:
        return average_precision_score(wrong, doubt) if wrong.any() else np.nan

    ranked = {"by chance": wrong.mean()}
    if network is not None:
        ranked |= {"network": precision(rank_labels(network, given).score)}
        ranked |= {"cross-validated": precision(rank_labels(crossed, given).score)}
    ranked["audit"] = precision(rank_labels(judged, given).score)
    for name in RANKINGS:
        ranked[f"cleanlab {name}"] = precision(-get_label_quality_scores(given, judged, method=name))
    return ranked, estimates(judged, given, clean)


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


def show(found: list[tuple[str, dict[str, float], dict[str, float]]]) -> None:
    """Two Markdown tables with a line a run."""
    for part, title in enumerate(("average precision", "estimates"), start=1):
        columns = list(found[0][part])
        print(f"\n| {title} | {' | '.join(columns)} |\n| --- |{' ---: |' * len(columns)}")
        for row in found:
            cells = (row[part][column] for column in columns)
            print(f"| {row[0]} | {' | '.join('' if np.isnan(cell) else f'{cell:.3f}' for cell in cells)} |", flush=True)


if __name__ == "__main__":
    cli.run(main, __doc__, Words)
