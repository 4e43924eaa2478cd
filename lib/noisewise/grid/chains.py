"""An initialisation as a chain: how it is read, and which links may follow each other."""

from __future__ import annotations

from collections.abc import Sequence

from noisewise.errors import UserError, unknown
from noisewise.runs.backbones import RESNETS, has_small_stem
from noisewise.runs.config import WEIGHTS, Pretrain
from noisewise.runs.methods import PRETRAIN, Recipe


def parse_init(text: str, where: str) -> tuple[str, list[tuple[str, str | None]]]:
    """An initialisation as weights and a chain: "imagenet+simclr@nct" is ("imagenet", [("simclr", "nct")]).

    Raises:
        UserError: an unknown name, or weights that are not first.
    """
    first, *rest = text.split("+")
    weights, links = (first, rest) if first in WEIGHTS else ("random", [first, *rest])
    chain = []
    for link in links:
        method, at, dataset = link.partition("@")
        if method in WEIGHTS:
            raise UserError(f"{where}: in '{text}', '{method}' can only come first.")
        if method not in PRETRAIN:
            raise unknown("initialisation", method, [*WEIGHTS, *PRETRAIN], where)
        if at and not dataset:
            raise UserError(f"{where}: in '{text}', a dataset's name must follow the '@'.")
        chain.append((method, dataset or None))
    return weights, chain


def check_no_repeats(links: Sequence[tuple[str, str]], where: str) -> None:
    """Refuse a chain in which a method follows itself on one dataset; links are (method, name of its dataset).

    Raises:
        UserError: names the pretraining; `where` says whose chain it is.
    """
    for one, two in zip(links, links[1:], strict=False):
        if one == two:
            method, dataset = one
            raise UserError(
                f"{where}: the pretraining {method} on {dataset} follows itself; name it once, and for a longer one "
                f"set recipe.pretrain.{method}.epochs."
            )


def check_same_backbone(before: str | Pretrain, method: str, recipe: Recipe, where: str) -> None:
    """Refuse a method that starts from the weights of another backbone than its own, or of a smaller stem.

    Another resolution is fine, and so is a larger stem before a small one, whose first convolution is then drawn anew.

    Raises:
        UserError: names both, and what to set; `where` says whose chain it is.
    """
    if isinstance(before, str):
        return
    if before.recipe.backbone == recipe.backbone:
        if recipe.backbone in RESNETS and _has_small_stem(before.recipe) and not _has_small_stem(recipe):
            raise UserError(
                f"{where}: {method} at resolution {recipe.resolution} has the standard stem, and starts from the "
                f"weights of {before.method}, which at resolution {before.recipe.resolution} has the small one; set "
                "recipe.all.stem=standard or small for both, or 'stem' under 'all' in the recipe's file."
            )
        return
    there, here = before.recipe.backbone, recipe.backbone
    raise UserError(
        f"{where}: {method} has backbone {here}, and starts from the weights of {before.method}, which has {there}; "
        f"give both the same: recipe.all.backbone={there} or {here} for a grid, or under 'all' in the recipe's file."
    )


def _has_small_stem(recipe: Recipe) -> bool:
    return has_small_stem(recipe.stem, recipe.resolution)
