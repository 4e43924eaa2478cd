"""One run from words on the command line, by the way that a grid's runs are made."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from noisewise.errors import UserError, unknown
from noisewise.grid import names
from noisewise.grid.expand import Builder, why_missing
from noisewise.grid.files import MAX_SIZE, check_range, load_dataset, load_recipe
from noisewise.runs.config import Finetune, Noise, Prepare, Pretrain, Run, ancestors
from noisewise.runs.recipe import PRETRAIN

WHERE = "the command line"


def single_prepare(dataset: str, size: int) -> Prepare:
    """The preparation of a dataset, at its file's size or (size > 0) another."""
    check_range("size", size, 0, MAX_SIZE, WHERE)
    return _possible(load_dataset(dataset).prepare(size or None))


def single_pretrain(
    dataset: str, method: str, init: str, seed: int, recipe: str, overrides: Mapping[str, Any]
) -> Pretrain:
    """One pretraining; `overrides` are keys of the method's recipe."""
    if method not in PRETRAIN:
        raise unknown("pretraining method", method, PRETRAIN, WHERE)
    builder, name = _builder(dataset, "pretrain", method, recipe, overrides)
    chain = method if init == "random" else f"{init}+{method}"
    return _possible(builder.init(name, chain, seed))


def single_finetune(
    dataset: str, init: str, method: str, kind: str, rate: float, seed: int, recipe: str, overrides: Mapping[str, Any]
) -> Finetune:
    """One fine-tuning and the pretraining that it starts from; `overrides` are keys of the method's recipe."""
    names.check_finetune(method, WHERE)
    if kind not in names.NOISE:
        raise unknown("noise", kind, names.NOISE, WHERE)
    names.check_rate(kind, rate, WHERE)
    if kind != "none" and not rate:
        raise UserError(f"noise={kind} needs a rate; type for instance noise={kind} rate=0.2.")
    if kind == "none" and rate:
        raise UserError(f"rate={rate:g} needs a kind of noise; type noise=symmetric rate={rate:g}.")
    builder, name = _builder(dataset, "finetune", method, recipe, overrides)
    noise = Noise(kind, rate) if rate else Noise()
    return _possible(builder.finetune(name, init, method, noise, seed, seed))


def _builder(dataset: str, stage: str, method: str, recipe: str, overrides: Mapping[str, Any]) -> tuple[Builder, str]:
    file = load_dataset(dataset)
    layers = load_recipe(recipe, {stage: {method: dict(overrides)}})
    return Builder({file.name: file}, layers), file.name


def _possible(run: Any) -> Any:
    """The run, if this version can run it and all that it stands on."""
    everything: list[Run] = [*ancestors(run), run]
    if reasons := why_missing(everything):
        raise UserError(f"this version of noisewise does not have {', '.join(dict.fromkeys(reasons.values()))} yet.")
    return run
