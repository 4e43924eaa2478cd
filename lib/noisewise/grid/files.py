"""The files a person writes: grids, datasets and recipes. Schemas, where they are found, and reading them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Optional

import yaml
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

import noisewise
from noisewise.errors import UserError, unknown
from noisewise.grid.check import MAX_SIZE, check_dataset, check_range, check_recipe
from noisewise.runs.config import Invariance, Normalise, Prepare, Source, Split
from noisewise.runs.methods import METHODS
from noisewise.runs.recipe import FinetuneRecipe, PretrainRecipe, Recipe
from noisewise.runs.schema import build, check_keys

STAGE_RECIPES = {"pretrain": PretrainRecipe, "finetune": FinetuneRecipe}

CHECKOUT = Path(noisewise.__file__).resolve().parents[2]
JOBS = CHECKOUT / "jobs"


@dataclass(frozen=True)
class NoiseLevels:
    """Rates per kind of noise, and files of transition matrices (`noisewise.grid.noises.read_matrix`).

    none: adds the clean control. given: adds the dataset's own labels as they are.
    """

    none: bool = False
    given: bool = False
    symmetric: list[float] = field(default_factory=list)
    class_dependent: list[float] = field(default_factory=list)
    pairflip: list[float] = field(default_factory=list)
    instance: list[float] = field(default_factory=list)
    transition: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class DataLevels:
    """fraction: of each dataset's training images, a number or a list of them, above 0 and at most 1."""

    fraction: Any = 1.0


@dataclass(frozen=True)
class GridFile:
    """`jobs/grid/NAME.yaml`: every combination of its lists is run.

    about: one line on what the grid answers. datasets: names or files. data: how much of them is trained on.
    init: chains such as "imagenet+simclr".
    seeds: repeats of each fine-tuning, each with its own draw of the noise.
    pretrain_seeds: repeats of each pretraining; fine-tuning seed s starts from pretraining seed s modulo this.
    recipe: a name, a file, or a recipe written out.
    """

    about: str = ""
    datasets: list[str] = field(default_factory=list)
    data: DataLevels = field(default_factory=DataLevels)
    init: list[str] = field(default_factory=lambda: ["random"])
    finetune: list[str] = field(default_factory=lambda: ["cross_entropy"])
    noise: NoiseLevels = field(default_factory=NoiseLevels)
    seeds: int = 1
    pretrain_seeds: int = 1
    recipe: Any = "paper"


@dataclass(frozen=True)
class DatasetFile:
    """`jobs/dataset/NAME.yaml`: images, labels, and what may be done to them.

    size, fit, format, quality, intensity, max_rejected: of the pack (`Prepare`).
    images: how many there are, for estimates before preparing.
    groups: lists of look-alike classes, for class-dependent noise; or how to find them (`noisewise.grid.groups`).
    """

    name: str = ""
    about: str = ""
    source: Source = field(default_factory=Source)
    images: Optional[int] = None  # noqa: UP045
    size: int = 256
    fit: str = "resize"
    format: str = "auto"
    quality: int = 95
    intensity: str = "declared"
    max_rejected: float = 0.01
    split: Split = field(default_factory=Split)
    groups: Any = None
    normalise: Normalise = field(default_factory=Normalise)
    augment: Invariance = field(default_factory=Invariance)

    def prepare(self, size: int | None = None) -> Prepare:
        """The run that packs this dataset, at the recipe's size if it names one."""
        return Prepare(
            dataset=self.name,
            source=self.source,
            size=size or self.size,
            fit=self.fit,
            format=self.format,
            quality=self.quality,
            intensity=self.intensity,
            max_rejected=self.max_rejected,
            split=self.split,
        )


@dataclass(frozen=True)
class RecipeFile:
    """`jobs/recipe/NAME.yaml`: hyper-parameters, from the general to the particular.

    base: a recipe to start from. size: the pack's size instead of the dataset's.
    all: for every run. pretrain, finetune: {all: {...}, METHOD: {...}}. datasets: {NAME: {all, pretrain, finetune}}.
    The later of these wins: a method's own defaults; the base; all, stage.all, stage.METHOD; the same of the dataset.
    """

    about: str = ""
    base: Optional[str] = None  # noqa: UP045
    size: Optional[int] = None  # noqa: UP045
    all: dict[str, Any] = field(default_factory=dict)
    pretrain: dict[str, Any] = field(default_factory=dict)
    finetune: dict[str, Any] = field(default_factory=dict)
    datasets: dict[str, Any] = field(default_factory=dict)


def read_yaml(folder: Path, name: str, what: str) -> tuple[dict[str, Any], str]:
    """The values in `folder`/NAME.yaml, or in the file that `name` is, and where they were found."""
    is_file = name.endswith((".yaml", ".yml"))
    path = Path(name) if is_file else folder / f"{name}.yaml"
    if not path.is_file():
        if is_file:
            raise UserError(f"there is no {what} file {path}; give a path to a YAML file or one of: {_known(folder)}.")
        if Path(f"{name}.yaml").is_file():
            raise UserError(f"there is no {what} '{name}' in {folder}; for the file here, type {what}={name}.yaml.")
        raise unknown(what, name, [file.stem for file in folder.glob("*.yaml")], str(folder))
    try:
        values = OmegaConf.to_container(OmegaConf.load(path), resolve=True)
    except (yaml.YAMLError, OmegaConfBaseException, OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is no valid YAML: {' '.join(str(error).split())}") from None
    if not isinstance(values, dict):
        raise UserError(f"{path}: expected keys and values, as in {folder}/*.yaml.")
    return values, str(path)


def load_grid(name: str, overrides: Mapping[str, Any] | None = None, folder: Path = JOBS / "grid") -> GridFile:
    """A grid by name or path, with overrides from the command line on top.

    Paths in it are looked for beside it, then from the working directory.
    """
    values, where = read_yaml(folder, name, "grid")
    build(GridFile, overrides or {}, "the command line")
    for key in ("datasets", "recipe"):
        if key in values:
            values[key] = _beside(Path(where).parent, values[key])
    return build(GridFile, merge(values, overrides or {}), where)


def _beside(folder: Path, value: Any) -> Any:
    """A path to a YAML file, or a list with such paths, made to lead to what lies in `folder` where it does."""
    if isinstance(value, list):
        return [_beside(folder, item) for item in value]
    is_path = isinstance(value, str) and value.endswith((".yaml", ".yml"))
    return str(folder / value) if is_path and (folder / value).is_file() else value


def load_dataset(name: str, folder: Path = JOBS / "dataset") -> DatasetFile:
    """A dataset by name or path."""
    values, where = read_yaml(folder, name, "dataset")
    dataset = build(DatasetFile, {"name": Path(where).stem, **values}, where)
    check_dataset(dataset, where)
    return dataset


def load_recipe(
    recipe: Any, overrides: Mapping[str, Any] | None = None, folder: Path = JOBS / "recipe"
) -> list[RecipeFile]:
    """A recipe by name, by path or written out, as layers: its base's base first, the command line's overrides last."""
    if isinstance(recipe, Mapping):
        values, where = dict(recipe), "the grid's recipe"
    else:
        values, where = read_yaml(folder, str(recipe), "recipe")
    command_line = "the command line: recipe"
    layers, seen = [_recipe_layer(overrides or {}, command_line)], [where]
    if layers[0].base:
        raise UserError(f"{command_line}: a base can stand in a file only; type recipe={layers[0].base}.")
    while True:
        layers.append(_recipe_layer(values, where))
        if not (base := layers[-1].base):
            return layers[::-1]
        values, where = read_yaml(folder, base, "recipe")
        if where in seen:
            raise UserError(f"{seen[-1]}: recipe '{base}' is its own base.")
        seen.append(where)


def _recipe_layer(values: Mapping[str, Any], where: str) -> RecipeFile:
    """One recipe file, every key of it checked, whether or not a run of the grid uses it."""
    layer = build(RecipeFile, values, where)
    _check_part({stage: getattr(layer, stage) for stage in ("all", *METHODS)}, where)
    for dataset, part in layer.datasets.items():
        _check_part(part, f"{where}.datasets.{dataset}")
    if layer.size is not None:
        check_range("size", layer.size, 1, MAX_SIZE, where)
    return layer


def _check_part(part: Any, where: str) -> None:
    """Refuse unknown stages, methods and keys in {all: {...}, pretrain: {all: {...}, METHOD: {...}}, finetune: ...}."""
    for stage, of_stage in _mapping(part, where).items():
        if stage == "all":
            check_keys(Recipe, of_stage, f"{where}.all")
            continue
        if stage not in METHODS:
            raise unknown("key", stage, ["all", *METHODS], where)
        for method, keys in _mapping(of_stage, f"{where}.{stage}").items():
            if method not in ("all", *METHODS[stage]):
                raise unknown(f"{stage} method", method, ["all", *METHODS[stage]], where)
            check_keys(METHODS[stage].get(method, STAGE_RECIPES[stage]), keys, f"{where}.{stage}.{method}")


def _mapping(value: Any, where: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise UserError(f"{where}: expected keys and values, got {value!r}.")
    return value


def resolve_recipe(layers: Sequence[RecipeFile], stage: str, method: str, dataset: str) -> Recipe:
    """The method's hyper-parameters on a dataset, everything filled in; a later layer wins over an earlier one."""
    values: dict[str, Any] = {}
    for layer in layers:
        for part in ({"all": layer.all, stage: getattr(layer, stage)}, layer.datasets.get(dataset) or {}):
            of_stage = part.get(stage) or {}
            for found in (part.get("all"), of_stage.get("all"), of_stage.get(method)):
                values = merge(values, found or {})
    recipe = build(METHODS[stage][method], values, f"recipe {stage}.{method}")
    check_recipe(recipe, f"{stage}.{method}")
    return recipe


def merge(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Two nested mappings as one; where both have a value, the second's."""
    merged = dict(below)
    for key, value in above.items():
        both = isinstance(value, Mapping) and isinstance(merged.get(key), Mapping)
        merged[key] = merge(merged[key], value) if both else value
    return merged


def _known(folder: Path) -> str:
    return ", ".join(sorted(path.stem for path in folder.glob("*.yaml")))
