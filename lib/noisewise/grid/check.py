"""Which values may stand in datasets and recipes: names that are known, numbers in their ranges."""

from __future__ import annotations

from typing import TYPE_CHECKING

from noisewise.errors import UserError, unknown
from noisewise.grid.groups import check_groups
from noisewise.grid.names import READERS
from noisewise.runs.backbones import check_backbone
from noisewise.runs.config import Source
from noisewise.runs.intensity import parse_intensity
from noisewise.runs.methods import BarlowTwins, DivideMix, JigMag, Jigsaw
from noisewise.runs.puzzles import check_jigmag, check_jigsaw
from noisewise.runs.recipe import Augmentation, PretrainRecipe, Recipe

if TYPE_CHECKING:
    from noisewise.grid.files import DatasetFile

MAX_SIZE = 4096
WITHOUT_ROOT = ("elpv", "fashion_mnist")  # kinds of source that packages bring
COLUMNS = ("image", "label", "split", "patient", "clean_label")
LEGAL = {
    "optimiser": ("sgd", "adam", "adamw", "lars"),
    "schedule": ("cosine", "constant", "step"),
    "precision": ("auto", "fp32", "bf16"),
    "train": ("all", "head"),
    "select": ("clean", "noisy"),
    "confidence_penalty": ("auto", "always", "never"),
}
MOST = 1e9
RANGES = {
    "resolution": (1, MAX_SIZE),
    "epochs": (1, MOST),
    "batch": (1, MOST),
    "accumulate": (1, MOST),
    "lr": (1e-12, 1e3),
    "lr_batch": (0, MOST),
    "bias_lr": (0, 1e3),
    "step_factor": (1e-6, 1),
    "momentum": (0, 0.9999),
    "weight_decay": (0, 1e3),
    "final_lr": (0, 1e3),
    "warmup_epochs": (0, MOST),
    "decay_from_epoch": (0, MOST),
    "last_epochs": (1, MOST),
    "temperature": (1e-6, 1e3),
    "projector_hidden": (1, MOST),
    "projector_out": (1, MOST),
    "ramp_epochs": (0, MOST),
    "cross_entropy_epochs": (1, MOST),
    "threshold": (0, 0.9999),
    "alpha": (1e-3, 1e3),
    "lambda_u": (0, 1e4),
    "agreement": (0, 1),
    "strength": (0, 1e3),
    "target_momentum": (0, 0.999999),
    "q": (1e-3, 1),
    "smoothing": (0, 0.999),
    "probe_epochs": (0, MOST),
    "key_momentum": (0, 0.999999),
    "redundancy": (0, 1e3),
    "permutations": (2, 1000),
    "tile": (0, MAX_SIZE),
    "hidden": (1, MOST),
    "zoom": (1.01, 16),
    "beta": (0, 1e3),
    "latent": (1, MOST),
    "width": (1, MOST),
    "discriminator_steps": (1, 100),
}


def check_range(key: str, value: float, least: float, most: float, where: str) -> None:
    """Refuse a number outside [least, most].

    Raises:
        UserError: names the range; `where` says whose the number is.
    """
    if not least <= value <= most:  # NaN is in no range
        raise UserError(f"{where}: {key} is {value:g}; it must be from {least:g} to {most:g}.")


def check_recipe(recipe: Recipe, where: str) -> None:
    """Refuse values that no run could use.

    Raises:
        UserError: names the value and what is legal; `where` says whose it is.
    """
    where = f"recipe {where}"
    for key, legal in LEGAL.items():
        if hasattr(recipe, key) and getattr(recipe, key) not in legal:
            raise unknown(key, getattr(recipe, key), legal, where)
    for key, (least, most) in RANGES.items():
        if hasattr(recipe, key):
            check_range(key, getattr(recipe, key), least, most, where)
    check_backbone(recipe.backbone, recipe.stem, recipe.resolution, where)
    for part in ("augmentation", "second"):
        if hasattr(recipe, part):
            _check_augmentation(getattr(recipe, part), part, where)
    if recipe.batch < 2:
        raise UserError(f"{where}: batch is {recipe.batch}; batch normalisation needs 2 images at least.")
    if recipe.accumulate > recipe.batch / 2:
        raise UserError(
            f"{where}: a batch of {recipe.batch} in accumulate={recipe.accumulate} parts leaves fewer than two images "
            f"a part; set accumulate to at most {recipe.batch // 2}."
        )
    if isinstance(recipe, DivideMix) and recipe.accumulate > max(1, recipe.batch // 8):
        raise UserError(
            f"{where}: a batch of {recipe.batch} in accumulate={recipe.accumulate} parts leaves some of them without a "
            f"labelled image; set accumulate to at most {max(1, recipe.batch // 8)}."
        )
    if isinstance(recipe, PretrainRecipe) and recipe.batch % recipe.accumulate:
        raise UserError(
            f"{where}: a batch of {recipe.batch} cannot be shared equally by accumulate={recipe.accumulate} parts, as "
            "pretraining needs; set one so that it divides the other."
        )
    if isinstance(recipe, BarlowTwins) and recipe.projector_out < 2:
        raise UserError(f"{where}: projector_out is {recipe.projector_out}; a correlation needs 2 at least.")
    _check_schedule(recipe, where)
    if isinstance(recipe, Jigsaw):
        check_jigsaw(recipe, where)
    if isinstance(recipe, JigMag):
        check_jigmag(recipe, where)
    rate = getattr(recipe, "assume_rate", "known")
    if rate not in ("known", "estimated") and (isinstance(rate, str) or not 0 <= rate < 1):
        raise UserError(f"{where}: assume_rate is {rate!r}; it must be known, estimated, or at least 0 and below 1.")
    queue = getattr(recipe, "queue", "auto")
    if queue != "auto" and (isinstance(queue, str) or queue < recipe.batch or queue % recipe.batch):
        raise UserError(f"{where}: queue is {queue!r}; it must be auto, or a multiple of the batch, {recipe.batch}.")


def check_count(method: str, recipe: Recipe, images: int, where: str) -> None:
    """Refuse a batch or a queue larger than `images`, which are at least as many as there will be to train on.

    Raises:
        UserError: names the setting and what would fit; `where` says whose run it is.
    """
    for key in ("batch", "queue"):
        value = getattr(recipe, key, 0)
        if isinstance(value, int) and value > images:
            raise UserError(
                f"{where}: {method}'s {key} of {value} is larger than the {images} images there are at most; set "
                f"recipe.pretrain.{method}.{key} lower, or data.fraction higher."
            )


def _check_augmentation(augmentation: Augmentation, part: str, where: str) -> None:
    for key, value in vars(augmentation).items():
        check_range(f"{part}.{key}", value, 0, 0.5 if key == "hue" else 1, where)
    if not 0 < augmentation.crop_min <= augmentation.crop_max:
        raise UserError(f"{where}: {part}.crop_min must be above 0 and at most crop_max.")


def _check_schedule(recipe: Recipe, where: str) -> None:
    if isinstance(recipe, DivideMix) and recipe.cross_entropy_epochs >= recipe.epochs:
        raise UserError(
            f"{where}: cross_entropy_epochs is {recipe.cross_entropy_epochs}, and there are only {recipe.epochs} "
            "epochs, so the labels would never be divided; set cross_entropy_epochs lower."
        )
    if recipe.warmup_epochs >= recipe.epochs and recipe.warmup_epochs:
        raise UserError(
            f"{where}: warmup_epochs is {recipe.warmup_epochs:g}, and there are only {recipe.epochs} epochs, so the "
            f"learning rate would never reach its peak; set warmup_epochs lower."
        )
    if recipe.schedule == "cosine" and recipe.decay_from_epoch >= recipe.epochs:
        raise UserError(
            f"{where}: decay_from_epoch is {recipe.decay_from_epoch:g}, and there are only {recipe.epochs} epochs, "
            f"so the learning rate would never fall; set decay_from_epoch lower, or schedule=constant."
        )
    if recipe.schedule == "cosine" and recipe.final_lr > recipe.lr:
        raise UserError(
            f"{where}: final_lr is {recipe.final_lr:g}, above lr, {recipe.lr:g}, so the learning rate would rise; set "
            "final_lr lower."
        )
    if not all(0 < share < 1 for share in recipe.step_at):
        raise UserError(f"{where}: step_at is {recipe.step_at}; it lists shares of the epochs between 0 and 1.")
    if len(recipe.betas) != 2 or not all(0 <= beta < 1 for beta in recipe.betas):
        raise UserError(f"{where}: betas is {recipe.betas}; it takes two numbers, each at least 0 and below 1.")


def check_dataset(dataset: DatasetFile, where: str) -> None:
    """Refuse what no preparation could use.

    Raises:
        UserError: names the value and what is legal; `where` is the dataset's file.
    """
    if not dataset.name or "/" in dataset.name:
        raise UserError(f"{where}: name '{dataset.name}' must be a word that can name a folder.")
    for key, value, legal in (
        ("source kind", dataset.source.kind, READERS),
        ("fit", dataset.fit, ("resize", "pad", "crop")),
        ("format", dataset.format, ("auto", "raw", "jpeg")),
    ):
        if value not in legal:
            raise unknown(key, value, legal, where)
    parse_intensity(dataset.intensity, where)
    for key, value, least, most in (
        ("size", dataset.size, 1, MAX_SIZE),
        ("quality", dataset.quality, 1, 100),
        ("max_rejected", dataset.max_rejected, 0, 0.999),
        ("split.val", dataset.split.val, 0.001, 0.999),
        ("split.test", dataset.split.test, 0.001, 0.999),
        ("split.val + split.test", dataset.split.val + dataset.split.test, 0, 0.999),
        ("augment.rotate", dataset.augment.rotate, 0, 180),
    ):
        check_range(key, value, least, most, where)
    normalise = dataset.normalise
    if len(normalise.mean) != 3 or len(normalise.std) != 3 or min(normalise.std) <= 0:
        raise UserError(f"{where}: normalise takes three means and three standard deviations above 0.")
    check_groups(dataset.groups, where)
    _check_source(dataset.source, where)


def _check_source(source: Source, where: str) -> None:
    """Refuse a source without a place, and columns of a table for a source that is none: nobody would read them."""
    if not source.root and source.kind not in WITHOUT_ROOT:
        raise UserError(f"{where}: source.root is missing: the folder or file of the images, below the data folder.")
    heard = {"csv": COLUMNS, "parquet": COLUMNS, "folder": ("patient",)}.get(source.kind, ())
    for name in COLUMNS:
        if name not in heard and getattr(source, name) != getattr(Source(), name):
            raise UserError(
                f"{where}: source.{name} says nothing to kind {source.kind}; remove it, or set kind to csv or parquet."
            )
