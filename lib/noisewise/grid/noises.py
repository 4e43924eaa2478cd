"""The label noise that a grid or a command asks for, checked."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

from noisewise.errors import UserError, unknown
from noisewise.grid.files import DatasetFile, NoiseLevels
from noisewise.grid.groups import auto_init
from noisewise.runs.config import RATELESS, GroupProbe, Noise
from noisewise.runs.recipe import Recipe

# Kinds that `noisewise.data.corrupt` can make.
NOISE = ("none", "symmetric", "class_dependent", "pairflip", "instance", "transition", "given")
SUMS_TO = 1e-6  # how far from one a row's sum may be


def levels(asked: NoiseLevels, where: str) -> list[Noise]:
    """Every noise of a grid once; rate 0 of any kind is the clean control.

    Raises:
        UserError: a rate that is none, or a matrix that is none.
    """
    found = [Noise()] if asked.none else []
    found += [Noise("given")] if asked.given else []
    for kind in ("symmetric", "class_dependent", "pairflip", "instance"):
        found += [Noise(kind, _rate(kind, rate, where)) if rate else Noise() for rate in getattr(asked, kind)]
    found += [read_matrix(path) for path in asked.transition]
    return [noise for place, noise in enumerate(found) if noise not in found[:place]]


def one(kind: str, rate: float, matrix: str, where: str) -> Noise:
    """The noise of a command.

    Raises:
        UserError: an unknown kind, or words that do not go with it.
    """
    if kind not in NOISE:
        raise unknown("noise", kind, NOISE, where)
    if (kind == "transition") != bool(matrix):
        raise UserError(f"{where}: noise=transition and matrix=FILE.yaml go together.")
    if matrix:
        if rate:
            raise UserError(f"{where}: noise=transition has its rates in its matrix; leave out rate={rate:g}.")
        return read_matrix(matrix)
    _rate(kind, rate, where)
    if kind in RATELESS and rate:
        raise UserError(f"rate={rate:g} needs a kind of noise; type noise=symmetric rate={rate:g}.")
    if kind not in RATELESS and not rate:
        raise UserError(f"noise={kind} needs a rate; type for instance noise={kind} rate=0.2.")
    return Noise(kind, rate)


def on_dataset(noise: Noise, dataset: DatasetFile, seed: int, probe: Callable[[], GroupProbe]) -> Noise:
    """The noise with the seed of its draw, and with the dataset's groups, or what finds them, where it goes by them.

    probe: makes what finds the dataset's groups; called where they are not listed.
    """
    if noise.kind in RATELESS:
        return noise
    if noise.kind != "class_dependent":
        return replace(noise, seed=seed)
    if auto_init(dataset.groups):
        return replace(noise, seed=seed, probe=probe())
    return replace(noise, seed=seed, groups=dataset.groups or [])


def check_assumption(noise: Noise, method: str, recipe: Recipe, where: str) -> None:
    """Refuse a method that wants the true rate of labels whose rate nobody knows.

    Raises:
        UserError: with what to set; `where` says whose run it is.
    """
    if noise.kind == "given" and getattr(recipe, "assume_rate", None) == "known":
        raise UserError(
            f"{where}: {method} has assume_rate=known, and the rate of given labels is not known; set "
            f"recipe.finetune.{method}.assume_rate (in a single run: assume_rate) to estimated, or to a "
            "number, such as 0.2."
        )


def read_matrix(name: str) -> Noise:
    """Transition noise from a YAML file that maps true classes to labels to probabilities; other classes stay clean.

    Raises:
        UserError: no such file, or one that does not give each class probabilities that sum to one.
    """
    path = Path(name).expanduser()
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"there is no transition matrix {path}; give a YAML file.") from None
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise UserError(f"the transition matrix {path} cannot be read: {' '.join(str(error).split())}") from None
    if not isinstance(values, Mapping) or not values:
        raise UserError(f"the transition matrix {path} must map classes to labels: 'cat: {{cat: 0.8, dog: 0.2}}'.")
    matrix = {str(name): _row(row, f"the transition matrix {path}, class '{name}'") for name, row in values.items()}
    leaving = [1 - row.get(name, 0.0) for name, row in matrix.items()]
    return Noise("transition", round(sum(leaving) / len(leaving), 6), matrix=dict(sorted(matrix.items())))


def _row(row: Any, where: str) -> dict[str, float]:
    if not isinstance(row, Mapping):
        raise UserError(f"{where}: {row!r} must map labels to probabilities: {{cat: 0.8, dog: 0.2}}.")
    for label, share in row.items():
        if isinstance(share, bool) or not isinstance(share, (int, float)) or not 0 <= share <= 1:
            raise UserError(f"{where}: the probability of '{label}' is {share!r}; it must be from 0 to 1.")
    if abs(sum(row.values()) - 1) > SUMS_TO:
        raise UserError(f"{where}: the probabilities sum to {sum(row.values()):g}; they must sum to 1.")
    return {str(label): float(share) for label, share in sorted(row.items(), key=lambda item: str(item[0]))}


def _rate(kind: str, rate: float, where: str) -> float:
    if not 0 <= rate < 1:
        raise UserError(f"{where}: noise rate {rate:g} of '{kind}' must be at least 0 and below 1.")
    return rate
