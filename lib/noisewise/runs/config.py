"""The three kinds of run as values: `Prepare`, `Pretrain`, `Finetune`.

A run holds everything that decides its result and nothing else: no resources, no data folder, no tracking.
Runs nest: a fine-tuning holds the pretraining that it starts from, which holds the preparation of its images.
So a run's key, a hash of all of it, changes exactly when its result may.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass, field, fields, is_dataclass, replace
from functools import cached_property
from typing import Any, ClassVar, Union

from noisewise.errors import UserError, unknown
from noisewise.runs.dataset import Invariance, Normalise, Source, Split
from noisewise.runs.fraction import check_fraction, images_name
from noisewise.runs.key import PART_OF_THE_KEY_IF_SET, hash_config
from noisewise.runs.methods import METHODS
from noisewise.runs.recipe import NO_PART_OF_THE_KEY, Recipe
from noisewise.runs.schema import build

STAGES = ("prepare", "pretrain", "finetune")
WEIGHTS = ("random", "imagenet")
RATELESS = ("none", "given")  # kinds of noise without a rate and without a draw


@dataclass(frozen=True)
class GroupProbe:
    """The encoder whose confusions group a dataset's classes (`noisewise.finetune.groups`).

    init: "random", "imagenet" or a `Pretrain`. The rest is as in a recipe and a dataset's file.
    """

    init: Any = "imagenet"
    backbone: str = "resnet18"
    stem: str = "auto"
    resolution: int = 224
    normalise: Normalise = field(default_factory=Normalise)

    @cached_property
    def key(self) -> str:
        return hash_config(self)


@dataclass(frozen=True)
class Noise:
    """Label noise put on the training labels (`noisewise.data.corrupt`): all that decides it beside the images.

    rate: nominal, in [0, 1); of "transition", what leaves the classes that the matrix names, on average; of "given", 0.
    seed: of the draw. groups: lists of look-alike classes, of "class_dependent" alone.
    matrix: true class -> label -> its probability, of "transition" alone.
    probe: a `GroupProbe` where the groups are to be found by it; they are then not listed.
    """

    kind: str = "none"
    rate: float = 0.0
    seed: int = 0
    groups: list[list[str]] = field(default_factory=list)
    matrix: dict[str, dict[str, float]] = field(default_factory=dict)
    probe: Any = field(default=None, metadata=PART_OF_THE_KEY_IF_SET)

    @property
    def name(self) -> str:
        """The kind; with a hash of the matrix where there is one, for two may have one rate: "transition-3fa1"."""
        return f"{self.kind}-{hash_config(Noise(matrix=self.matrix))[:4]}" if self.matrix else self.kind


@dataclass(frozen=True)
class Prepare:
    """Images into a pack of `size` x `size` pixels, with their labels and split.

    fit: how a rectangle becomes a square ("resize", "pad" or "crop").
    format: "raw", "jpeg" (at `quality`), or "auto": raw unless the pack would be very large (`noisewise.data.prepare`).
    intensity: how values of more than 8 bits become 8 (`noisewise.data.intensity`).
    max_rejected: share of the files that may be unreadable and left out; above it the preparation fails.
    """

    stage: ClassVar[str] = "prepare"

    dataset: str
    source: Source = field(default_factory=Source)
    size: int = 256
    fit: str = "resize"
    format: str = "auto"
    quality: int = 95
    intensity: str = "declared"
    max_rejected: float = field(default=0.01, metadata=NO_PART_OF_THE_KEY)
    split: Split = field(default_factory=Split)

    @property
    def parents(self) -> tuple[Run, ...]:
        return ()

    @property
    def name(self) -> str:
        return f"{self.dataset} {self.size}px"

    @cached_property
    def key(self) -> str:
        return hash_config(self)


@dataclass(frozen=True)
class Pretrain:
    """Weights learnt from images without labels.

    init: what it starts from: "random", "imagenet", or another pretraining (a chain).
    recipe: the method's own dataclass (`noisewise.runs.methods`).
    fraction: of the training images that are used (`noisewise.data.subset`).
    """

    stage: ClassVar[str] = "pretrain"

    prepare: Prepare
    method: str
    recipe: Recipe
    init: Union[str, Pretrain] = "random"
    seed: int = 0
    normalise: Normalise = field(default_factory=Normalise)
    allowed: Invariance = field(default_factory=Invariance)
    fraction: float = 1.0

    @property
    def parents(self) -> tuple[Run, ...]:
        return (self.prepare,) if isinstance(self.init, str) else (self.prepare, self.init)

    @property
    def name(self) -> str:
        dataset = self.prepare.dataset
        return f"{images_name(dataset, self.fraction)} {init_name(self, dataset)} seed {self.seed}"

    @cached_property
    def key(self) -> str:
        return hash_config(self)


@dataclass(frozen=True)
class Finetune:
    """A classifier trained on noisy labels and scored on clean ones.

    fraction: of the training images that are used (`noisewise.data.subset`); validation and test stay whole.
    """

    stage: ClassVar[str] = "finetune"

    prepare: Prepare
    method: str
    recipe: Recipe
    noise: Noise = field(default_factory=Noise)
    init: Union[str, Pretrain] = "random"
    seed: int = 0
    normalise: Normalise = field(default_factory=Normalise)
    allowed: Invariance = field(default_factory=Invariance)
    fraction: float = 1.0

    @property
    def parents(self) -> tuple[Run, ...]:
        probed = [self.noise.probe.init] if self.noise.probe else []
        return (self.prepare, *(init for init in (self.init, *probed) if not isinstance(init, str)))

    @property
    def name(self) -> str:
        noise = self.noise.name if self.noise.kind in RATELESS else f"{self.noise.name} {self.noise.rate:g}"
        init = init_name(self.init, self.prepare.dataset)
        images = images_name(self.prepare.dataset, self.fraction)
        return f"{images} {init} > {self.method}, {noise}, seed {self.seed}"

    @cached_property
    def key(self) -> str:
        return hash_config(self)


Run = Union[Prepare, Pretrain, Finetune]


def init_name(init: str | Pretrain, dataset: str) -> str:
    """How an initialisation of a run on `dataset` is written in grids and tables: "imagenet+simclr", "simclr@nct"."""
    if isinstance(init, str):
        return init
    link = init.method if init.prepare.dataset == dataset else f"{init.method}@{init.prepare.dataset}"
    return link if init.init == "random" else f"{init_name(init.init, dataset)}+{link}"


def ancestors(run: Run) -> Iterator[Run]:
    """Every run that must be done before this one, parents after their own parents; may repeat."""
    for parent in run.parents:
        yield from ancestors(parent)
        yield parent


def to_dict(run: Run) -> dict[str, Any]:
    """The whole config as plain values, `stage` first; the inverse of `from_dict`."""
    return {"stage": run.stage, **{item.name: _plain(getattr(run, item.name)) for item in fields(run)}}


def _plain(value: Any) -> Any:
    if isinstance(value, (Prepare, Pretrain)):
        return to_dict(value)
    if is_dataclass(value):
        return {item.name: _plain(getattr(value, item.name)) for item in fields(value)}
    return deepcopy(value)


def from_dict(values: Mapping[str, Any], where: str = "config") -> Run:
    """The run that `to_dict` wrote; every key and type is checked.

    Raises:
        UserError: an unknown stage, method or key, or a wrong type; `where` says whose.
    """
    if not isinstance(values, Mapping):
        raise UserError(f"{where}: expected keys and values, got {values!r}.")
    values = dict(values)
    stage = values.pop("stage", None)
    if stage == "prepare":
        return build(Prepare, values, where)
    if stage not in ("pretrain", "finetune"):
        raise unknown("stage", stage, STAGES, where)
    cls = Pretrain if stage == "pretrain" else Finetune
    legal = {item.name for item in fields(cls)}
    for key in values:
        if key not in legal:
            raise unknown("key", key, legal, where)
    method = values.get("method")
    if method not in METHODS[stage]:
        raise unknown("method", method, METHODS[stage], where)
    values["prepare"] = _nested(values, "prepare", Prepare, where)
    if isinstance(values.get("init"), Mapping):
        values["init"] = _nested(values, "init", Pretrain, where)
    if "noise" in legal:
        values["noise"] = _noise(values.get("noise", {}), f"{where}.noise")
    parts = {"recipe": METHODS[stage][method], "normalise": Normalise, "allowed": Invariance}
    for name in parts.keys() & legal:
        values[name] = build(parts[name], values.get(name, {}), f"{where}.{name}")
    values["fraction"] = check_fraction(values.get("fraction", 1.0), f"{where}: 'fraction'")
    seed = values.get("seed", 0)
    if type(seed) is not int:
        raise UserError(f"{where}: 'seed': {seed!r} is no whole number.")
    if not isinstance(values.get("init", ""), (str, Pretrain)):
        raise UserError(f"{where}: 'init': {values['init']!r} is neither a name nor a pretraining.")
    return cls(**values)


def _noise(values: Mapping[str, Any], where: str) -> Noise:
    noise = build(Noise, values, where)
    if noise.probe is None:
        return noise
    if not isinstance(noise.probe, Mapping):
        raise UserError(f"{where}.probe: expected keys and values, got {noise.probe!r}.")
    init = noise.probe.get("init", "imagenet")
    if isinstance(init, Mapping):
        init = _nested(noise.probe, "init", Pretrain, f"{where}.probe")
    rest = {key: value for key, value in noise.probe.items() if key != "init"}
    return replace(noise, probe=replace(build(GroupProbe, rest, f"{where}.probe"), init=init))


def _nested(values: Mapping[str, Any], name: str, cls: type[Run], where: str) -> Run:
    if name not in values:
        raise UserError(f"{where}: '{name}' is missing.")
    run = from_dict(values[name], f"{where}.{name}")
    if not isinstance(run, cls):
        raise UserError(f"{where}.{name}: a run of stage '{run.stage}' cannot stand here, only '{cls.stage}'.")
    return run
