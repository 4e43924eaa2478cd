"""Run folders into rows: one a fine-tuning run, whatever its state, and what went wrong where."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from itertools import chain
from pathlib import Path
from typing import Any

from noisewise.runs.config import Finetune, Run, ancestors, init_name
from noisewise.runs.failure import ADVICE
from noisewise.runs.files import read_json
from noisewise.runs.folder import RunFolder, State

NULLABLE = ("realised_rate", "auroc_best", "gpu_seconds", "wall_seconds")
OPTIONAL = (  # not known, or not in an older result
    *("val_f1_best", "images_per_second", "train_images", "test_images"),
    *("balanced_accuracy_last", "auroc_last", "ece_best", "ece_last", "memorised_best", "memorised_last"),
    *("wrong_found_precision_best", "wrong_found_recall_best", "wrong_found_precision_last", "wrong_found_recall_last"),
    *("selected_by", "assume_rate", "assumed_rate", "separability"),
)
TEXTS = ("selected_by", "assume_rate")  # words, or a number


@dataclass(frozen=True)
class Row:
    """A line of results.csv: the fields are its columns, in order. Scores are None until the run is done.

    Scores are fractions in [0, 1] on the clean test set; `memorised` and `wrong_found` on the training images
    (`noisewise.evaluate.memorisation`). state: a `State`'s value; a run whose result cannot be read counts as failed.
    noise: the kind, and which matrix where it goes by one (`Noise.name`).
    fraction: of the training images; train_images: how many that was. selected_by: which validation labels chose the
    best epoch, "clean", "noisy" or "given"; where they are "given", test labels are, too. assume_rate, assumed_rate:
    what a method was told of the noise rate, and what came of it. train: "all", or "head" of a linear probe.
    separability: of the classes (`noisewise.evaluate.difficulty`) by the features of the initial weights;
    thumbnail_separability: by the images' colours, from the preparation.
    """

    key: str
    dataset: str
    backbone: str
    init: str
    method: str
    noise: str
    rate: float
    realised_rate: float | None
    seed: int
    resolution: int
    f1_best: float | None
    f1_last: float | None
    accuracy_best: float | None
    accuracy_last: float | None
    balanced_accuracy_best: float | None
    auroc_best: float | None
    best_epoch: int | None
    epochs: int | None
    gpu_seconds: float | None
    wall_seconds: float | None
    state: str
    val_f1_best: float | None = None
    images_per_second: float | None = None
    train_images: int | None = None
    test_images: int | None = None
    fraction: float = 1.0
    balanced_accuracy_last: float | None = None
    auroc_last: float | None = None
    ece_best: float | None = None
    ece_last: float | None = None
    memorised_best: float | None = None
    memorised_last: float | None = None
    wrong_found_precision_best: float | None = None
    wrong_found_recall_best: float | None = None
    wrong_found_precision_last: float | None = None
    wrong_found_recall_last: float | None = None
    selected_by: str | None = None
    assume_rate: str | float | None = None
    assumed_rate: float | None = None
    train: str = "all"
    separability: float | None = None
    thumbnail_separability: float | None = None

    @property
    def done(self) -> bool:
        return self.state == State.DONE.value


CONFIG = (
    *("key", "dataset", "backbone", "init", "method", "noise", "rate", "seed", "resolution", "state", "fraction"),
    "train",
)
PREPARED = "thumbnail_separability"
RESULT = tuple(item.name for item in fields(Row) if item.name not in (*CONFIG, PREPARED))


@dataclass(frozen=True)
class ClassScores:
    """A done run, class by class: C names, C F1 values (None for a class without test images), C x C counts."""

    classes: tuple[str, ...]
    f1: tuple[float | None, ...]
    confusion: tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class Problem:
    """Why a run, or a run that it needs, has no result.

    kind: one of `noisewise.runs.failure.KINDS`, or "lost". waiting: fine-tuning runs that cannot start because of it.
    """

    run: str
    stage: str
    kind: str
    message: str
    advice: str
    folder: Path
    waiting: int = 0


@dataclass(frozen=True)
class Collected:
    """All that the report is made from. `provenance`: stage and content of each provenance.json that can be read."""

    rows: list[Row]
    problems: list[Problem]
    by_class: dict[str, ClassScores]
    provenance: list[tuple[str, dict[str, Any]]]


def collect(runs: Sequence[Finetune], root: Path) -> Collected:
    """Read the folders of `runs`, and of the runs that they need, under the runs folder `root`.

    Nothing in a folder stops it: a result or failure that cannot be read becomes a problem of its run.
    """
    found = Collected([], [], {}, [])
    runs = list({run.key: run for run in runs}.values())
    thumbnails = _thumbnails(runs, root)
    for run in runs:
        folder = RunFolder.of(root, run)
        state = folder.state()
        result: dict[str, Any] = {}
        if state is State.DONE:
            try:
                result = checked_result(folder)
            except (ValueError, OSError) as error:
                state = State.FAILED
                found.problems.append(_unreadable(run, folder, error))
            else:
                if scores := class_scores(result):
                    found.by_class[run.key] = scores
        elif problem := _problem(run, folder, state):
            found.problems.append(problem)
        found.rows.append(_row(run, state, result, thumbnails[run.prepare.key]))
    found.problems[:0] = _problems_of_ancestors(runs, root)
    found.provenance.extend(_provenance(runs, root))
    return found


def checked_result(folder: RunFolder) -> dict[str, Any]:
    """A fine-tuning run's result.

    Raises:
        ValueError: it is no JSON object, lacks a score, or holds something else than a finite number for one.
    """
    result = folder.read_result()  # a JSONDecodeError or UnicodeDecodeError is a ValueError
    if not isinstance(result, dict):
        raise ValueError("it holds no JSON object")
    for name in RESULT:
        value = result.get(name)
        if name not in result and name not in OPTIONAL and name not in NULLABLE:
            raise ValueError(f"it has no '{name}'")
        if value is None and (name in OPTIONAL or name in NULLABLE):
            continue
        if not _is_number(value) and not (name in TEXTS and isinstance(value, str)):
            raise ValueError(f"its '{name}' is {value!r}, not a number")
    return result


def class_scores(result: Mapping[str, Any]) -> ClassScores | None:
    """The class-by-class part of a result, None where it is not whole."""
    names, f1, confusion = (result.get(name) for name in ("classes", "f1_per_class_best", "confusion_best"))
    if not all(isinstance(part, list) and part for part in (names, f1, confusion)):
        return None
    if not len(names) == len(f1) == len(confusion):
        return None
    if not all(isinstance(line, list) and len(line) == len(names) for line in confusion):
        return None
    if not all(value is None or _is_number(value) for value in f1) or not all(map(_is_number, chain(*confusion))):
        return None
    return ClassScores(tuple(map(str, names)), tuple(f1), tuple(tuple(line) for line in confusion))


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _thumbnails(runs: Sequence[Finetune], root: Path) -> dict[str, float | None]:
    """Preparation's key -> the separability that it left, None where it left none."""
    prepared = {run.prepare.key: RunFolder.of(root, run.prepare).glance().get(PREPARED) for run in runs}
    return {key: value if _is_number(value) else None for key, value in prepared.items()}


def _row(run: Finetune, state: State, result: Mapping[str, Any], thumbnails: float | None) -> Row:
    return Row(
        key=run.key,
        dataset=run.prepare.dataset,
        backbone=run.recipe.backbone,
        init=init_name(run.init, run.prepare.dataset),
        method=run.method,
        noise=run.noise.name,
        rate=run.noise.rate,
        seed=run.seed,
        resolution=run.recipe.resolution,
        state=state.value,
        fraction=run.fraction,
        train=run.recipe.train,
        thumbnail_separability=thumbnails,
        **{name: result.get(name) for name in RESULT},
    )


def _problem(run: Run, folder: RunFolder, state: State, waiting: int = 0) -> Problem | None:
    if state is State.FAILED and (failure := folder.read_failure()):
        return Problem(run.name, run.stage, failure.kind, failure.message, failure.advice, folder.path, waiting)
    if state is State.LOST:
        message = "it was begun, nobody is at work on it and nothing says why."
        return Problem(run.name, run.stage, "lost", message, ADVICE["node"], folder.path, waiting)
    return None


def _unreadable(run: Finetune, folder: RunFolder, error: Exception) -> Problem:
    advice = f"Remove the folder {folder.path}, then submit the grid again: it is run anew."
    return Problem(run.name, run.stage, "data", f"{folder.result} cannot be used: {error}.", advice, folder.path)


def _problems_of_ancestors(runs: Sequence[Finetune], root: Path) -> Iterator[Problem]:
    """Failed or lost preparations and pretrainings, each once, with the number of runs that wait for it."""
    needed: dict[str, Run] = {}
    waiting: Counter[str] = Counter()
    for run in runs:
        mine = {parent.key: parent for parent in ancestors(run)}
        needed |= mine
        if RunFolder.of(root, run).state() is not State.DONE:
            waiting.update(mine.keys())
    for key, run in needed.items():
        folder = RunFolder.of(root, run)
        if problem := _problem(run, folder, folder.state(), waiting[key]):
            yield problem


def _provenance(runs: Sequence[Finetune], root: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    every: dict[str, Run] = {}
    for run in runs:
        every |= {one.key: one for one in (*ancestors(run), run)}
    for run in every.values():
        try:
            values = read_json(RunFolder.of(root, run).provenance)
        except (ValueError, OSError):
            continue
        if isinstance(values, dict):
            yield run.stage, values
