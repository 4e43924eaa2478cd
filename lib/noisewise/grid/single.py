"""One run from words on the command line, by the way that a grid's runs are made."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from noisewise.errors import UserError, unknown
from noisewise.grid import names
from noisewise.grid.check import MAX_SIZE, check_range
from noisewise.grid.expand import Builder, fractions, why_missing
from noisewise.grid.files import DataLevels, load_dataset, load_recipe
from noisewise.runs.config import Finetune, Noise, Prepare, Pretrain, Run, ancestors
from noisewise.runs.methods import PRETRAIN
from noisewise.runs.schema import build

WHERE = "the command line"


def single_prepare(dataset: str, size: int) -> Prepare:
    """The preparation of a dataset, at its file's size or (size > 0) another."""
    check_range("size", size, 0, MAX_SIZE, WHERE)
    return _possible(load_dataset(dataset).prepare(size or None))


def single_pretrain(
    dataset: str, method: str, init: str, seed: int, recipe: str, overrides: Mapping[str, Any]
) -> Pretrain:
    """One pretraining; `overrides` are keys of the method's recipe, and `data` with the fraction of the images."""
    if method not in PRETRAIN:
        raise unknown("pretraining method", method, PRETRAIN, WHERE)
    builder, name, fraction = _builder(dataset, "pretrain", method, recipe, overrides)
    chain = method if init == "random" else f"{init}+{method}"
    return _possible(builder.init(name, chain, seed, fraction))


def single_finetune(
    dataset: str,
    init: str,
    method: str,
    noise: Noise,
    seed: int,
    recipe: str,
    overrides: Mapping[str, Any],
) -> Finetune:
    """One fine-tuning and the pretraining that it starts from; `overrides` as for `single_pretrain`."""
    names.check_finetune(method, WHERE)
    builder, name, fraction = _builder(dataset, "finetune", method, recipe, overrides)
    return _possible(builder.finetune(name, init, method, noise, seed, seed, fraction))


def _builder(
    dataset: str, stage: str, method: str, recipe: str, overrides: Mapping[str, Any]
) -> tuple[Builder, str, float]:
    """A builder over one dataset, the dataset's name, and the fraction of its training images."""
    overrides = dict(overrides)
    asked = fractions(build(DataLevels, overrides.pop("data", {}), f"{WHERE}: data"), WHERE)
    if len(asked) > 1:
        raise UserError(f"{WHERE}: data.fraction is a list, and this is one run; give one number, or submit a grid.")
    file = load_dataset(dataset)
    return Builder({file.name: file}, load_recipe(recipe, {stage: {method: overrides}})), file.name, asked[0]


def _possible(run: Any) -> Any:
    """The run, if this version can run it and all that it stands on."""
    everything: list[Run] = [*ancestors(run), run]
    if reasons := why_missing(everything):
        raise UserError(f"this cannot be run: {'; '.join(dict.fromkeys(reasons.values()))}.")
    return run
