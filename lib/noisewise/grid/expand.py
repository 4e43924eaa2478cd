"""A grid becomes its runs: every combination once, each with all that it stands on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from noisewise.errors import UserError, unknown
from noisewise.grid import names, noises
from noisewise.grid.chains import check_no_repeats, check_same_backbone, parse_init
from noisewise.grid.check import check_count
from noisewise.grid.files import (
    DataLevels,
    DatasetFile,
    GridFile,
    RecipeFile,
    load_dataset,
    load_grid,
    load_recipe,
    resolve_recipe,
)
from noisewise.grid.groups import auto_init
from noisewise.runs.config import Finetune, GroupProbe, Noise, Prepare, Pretrain, Run, ancestors
from noisewise.runs.fraction import check_fraction
from noisewise.runs.methods import exists


@dataclass(frozen=True)
class Grid:
    """A grid read and expanded.

    runs: every run, parents before children, each key once. finetunes: those of them that the grid asks for.
    missing: run key -> why it cannot be run (a method that does not exist yet, groups that a dataset lacks).
    images: dataset name -> how many images its file says it has.
    """

    name: str
    about: str
    runs: tuple[Run, ...]
    finetunes: tuple[Finetune, ...]
    missing: Mapping[str, str]
    images: Mapping[str, int | None]

    @property
    def ready(self) -> list[Run]:
        """The fine-tunings that this version can run, and what they stand on, parents before children."""
        finetunes = [run for run in self.finetunes if run.key not in self.missing]
        needed = {run.key for finetune in finetunes for run in (*ancestors(finetune), finetune)}
        return [run for run in self.runs if run.key in needed]


def read_grid(name: str, overrides: Mapping[str, Any] | None = None, recipe: str = "") -> Grid:
    """Read a grid by name or path, with command-line overrides (`recipe.…` goes to the recipe), and expand it.

    recipe: a name or path to take instead of the grid's own.

    Raises:
        UserError: unknown names or keys, wrong types, or a grid that asks for nothing.
    """
    overrides = dict(overrides or {})
    recipe_overrides = overrides.pop("recipe", {})
    file = load_grid(name, overrides)
    layers = load_recipe(recipe or file.recipe, recipe_overrides)
    datasets = [load_dataset(dataset) for dataset in file.datasets]
    for dataset in set(layers[-1].datasets) - {known.name for known in datasets}:
        raise unknown("dataset", dataset, [known.name for known in datasets], "recipe.datasets on the command line")
    return expand(Path(name).stem, file, datasets, layers)


def expand(name: str, file: GridFile, datasets: list[DatasetFile], recipe: Sequence[RecipeFile]) -> Grid:
    """All runs of a grid; pure, but that a chain may name one more dataset (`simclr@nct`), whose file is read."""
    where = f"grid '{name}'"
    _check_not_empty(file, where)
    library = {dataset.name: dataset for dataset in datasets}
    if len(library) < len(datasets):
        raise UserError(f"{where}: two datasets share a name; give each file a name of its own.")
    builder = Builder(library, recipe)
    finetunes = [
        builder.finetune(dataset.name, init, method, noise, seed, seed % file.pretrain_seeds, fraction)
        for dataset in datasets
        for fraction in fractions(file.data, where)
        for init in dict.fromkeys(file.init)
        for method in dict.fromkeys(names.check_finetune(method, where) for method in file.finetune)
        for noise in noises.levels(file.noise, where)
        for seed in range(file.seeds)
    ]
    runs = _in_order(finetunes)
    asked = tuple(run for run in runs if isinstance(run, Finetune))
    images = {dataset.name: dataset.images for dataset in builder.datasets.values()}
    return Grid(name, file.about, tuple(runs), asked, why_missing(runs), images)


class Builder:
    """Builds each shared part of a grid (preparations, pretrainings, recipes) once."""

    def __init__(self, datasets: dict[str, DatasetFile], recipe: Sequence[RecipeFile]) -> None:
        self.datasets = datasets
        self.layers = recipe
        self.recipe = cache(self._recipe)
        self.prepare = cache(self._prepare)
        self.init = cache(self._init)
        self.group_probe = cache(self._group_probe)

    def finetune(
        self, dataset: str, init: str, method: str, noise: Noise, seed: int, pretrain_seed: int, fraction: float
    ) -> Finetune:
        start, recipe = self.init(dataset, init, pretrain_seed, fraction), self.recipe("finetune", method, dataset)
        check_same_backbone(start, method, recipe, f"init '{init}' on {dataset}")
        noises.check_assumption(noise, method, recipe, f"{dataset} with noise 'given'")
        return Finetune(
            prepare=self.prepare(dataset),
            init=start,
            method=method,
            recipe=recipe,
            noise=noises.on_dataset(noise, self.datasets[dataset], seed, lambda: self.group_probe(dataset)),
            seed=seed,
            normalise=self.datasets[dataset].normalise,
            allowed=self.datasets[dataset].augment,
            fraction=fraction,
        )

    def _prepare(self, dataset: str) -> Prepare:
        sizes = [layer.size for layer in self.layers if layer.size]
        return self.datasets[dataset].prepare(sizes[-1] if sizes else None)

    def _recipe(self, stage: str, method: str, dataset: str) -> Any:
        return resolve_recipe(self.layers, stage, method, dataset)

    def _init(self, dataset: str, text: str, seed: int, fraction: float) -> str | Pretrain:
        """A chain; its pretrainings on another dataset use all of that one's images, however few `dataset` has."""
        where = f"init '{text}' on {dataset}"
        current, chain = parse_init(text, f"init '{text}'")
        links = [(method, self._library_name(elsewhere) if elsewhere else dataset) for method, elsewhere in chain]
        check_no_repeats(links, where)
        for method, name in links:
            recipe = self.recipe("pretrain", method, name)
            check_same_backbone(current, method, recipe, where)
            images = self.datasets[name].images
            if images:
                check_count(method, recipe, int(images * (fraction if name == dataset else 1.0)), where)
            current = Pretrain(
                prepare=self.prepare(name),
                init=current,
                method=method,
                recipe=recipe,
                seed=seed,
                normalise=self.datasets[name].normalise,
                allowed=self.datasets[name].augment,
                fraction=fraction if name == dataset else 1.0,
            )
        return current

    def _group_probe(self, dataset: str) -> GroupProbe:
        """The same for all runs on a dataset: seed 0, all its images, and the network of the last pretraining.

        Without one, the network is that of the dataset's recipe for cross-entropy.
        """
        file = self.datasets[dataset]
        init = self.init(dataset, auto_init(file.groups), 0, 1.0)
        recipe = self.recipe("finetune", "cross_entropy", dataset) if isinstance(init, str) else init.recipe
        return GroupProbe(init, recipe.backbone, recipe.stem, recipe.resolution, file.normalise)

    def _library_name(self, dataset: str) -> str:
        """The name of a dataset that a chain refers to by name or path; its file is read if it is new."""
        if dataset in self.datasets:
            return dataset
        file = load_dataset(dataset)
        if self.datasets.setdefault(file.name, file) != file:
            raise UserError(f"'@{dataset}': another dataset of the grid is called {file.name} too; rename one.")
        return file.name


def _check_not_empty(file: GridFile, where: str) -> None:
    for key in ("datasets", "init", "finetune"):
        if not getattr(file, key):
            raise UserError(f"{where} is empty: list at least one under '{key}'.")
    for key in ("seeds", "pretrain_seeds"):
        if getattr(file, key) < 1:
            raise UserError(f"{where}: {key} is {getattr(file, key)}; it must be at least 1.")
    if not noises.levels(file.noise, where):
        raise UserError(
            f"{where} is empty: under 'noise', give rates (symmetric: [0.2, 0.5]), none: true or given: true."
        )


def fractions(data: DataLevels, where: str) -> list[float]:
    """Every fraction of the training images once, in the order given.

    Raises:
        UserError: there is none, or one that is no number above 0 and at most 1.
    """
    values = data.fraction if isinstance(data.fraction, list) else [data.fraction]
    if not values:
        raise UserError(f"{where} is empty: list at least one fraction under 'data.fraction', or leave it out.")
    return list(dict.fromkeys(check_fraction(value, f"{where}: data.fraction") for value in values))


def _in_order(finetunes: list[Finetune]) -> list[Run]:
    """All runs, each key once, stage by stage, parents before children."""

    def everything() -> Iterator[Run]:
        for run in finetunes:
            yield from ancestors(run)
        yield from finetunes

    unique = list({run.key: run for run in everything()}.values())
    return [run for stage in ("prepare", "pretrain", "finetune") for run in unique if run.stage == stage]


def why_missing(runs: Sequence[Run]) -> dict[str, str]:
    """Why runs cannot be run: their own part that does not exist yet, or a parent's."""
    missing: dict[str, str] = {}
    for run in runs:
        reason = _own_reason(run)
        for parent in run.parents:
            reason = reason or missing.get(parent.key, "")
        if reason:
            missing[run.key] = reason
    return missing


def _own_reason(run: Run) -> str:
    if isinstance(run, Prepare):
        return "" if names.reader_exists(run.source.kind) else f"this version has no source kind {run.source.kind}"
    if not exists(run.stage, run.method):
        return f"this version has no {run.stage} method {run.method}"
    if isinstance(run, Finetune) and run.noise.kind == "class_dependent" and not (run.noise.groups or run.noise.probe):
        return f"dataset {run.prepare.dataset} has no groups of look-alikes; list them in its file, or set groups: auto"
    return ""
