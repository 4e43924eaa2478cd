"""What jigsaw's tiles and jigmag's magnifications ask of a resolution; planning and training both go by this."""

from __future__ import annotations

import math

from noisewise.errors import UserError
from noisewise.runs.backbones import patch
from noisewise.runs.methods import JigMag, Jigsaw

SIDE = 3  # of jigsaw's cells along each side of the view
TILE_SHARE = 64 / 225  # of the resolution: the paper's tiles in its views
PARTS = 4  # of jigmag's mosaic, 2 x 2
LEAST_CROP = 2  # pixels: of fewer, a crop in the middle may hold none


def tile_side(recipe: Jigsaw) -> int:
    """Side of jigsaw's tiles, pixels: what the recipe says, or the paper's share of the resolution."""
    return recipe.tile or round(recipe.resolution * TILE_SHARE)


def check_jigsaw(recipe: Jigsaw, where: str) -> None:
    """Refuse tiles that their cells have no room for, or that a transformer's patches do not divide.

    Raises:
        UserError: with what to set; `where` says whose the recipe is.
    """
    cell, tile = recipe.resolution // SIDE, tile_side(recipe)
    if not 0 < tile <= cell:
        raise UserError(
            f"{where}: jigsaw's tiles of {tile} px do not fit into cells of {cell} px, a third of resolution "
            f"{recipe.resolution}; set tile to at most {cell} (0: what the resolution suggests), or resolution to at "
            f"least {SIDE * max(tile, 1)}."
        )
    side = patch(recipe.backbone, recipe.stem, recipe.resolution)
    if side and tile % side:
        fitting = ", ".join(str(length) for length in range(side, cell + 1, side))
        advice = f"tile to one of {fitting}" if fitting else f"resolution to at least {SIDE * side} and tile to {side}"
        raise UserError(
            f"{where}: {recipe.backbone} cuts images into patches of {side} px, which do not divide jigsaw's tiles of "
            f"{tile} px; set {advice}, or another backbone."
        )


def check_jigmag(recipe: JigMag, where: str) -> None:
    """Refuse views that cannot be halved, or magnified so far.

    Raises:
        UserError: with what to set; `where` says whose the recipe is.
    """
    size = recipe.resolution
    if size % 2:
        raise UserError(
            f"{where}: jigmag lays four parts of half the side into a view, and resolution {size} is odd; set "
            f"resolution to {size - 1} or {size + 1}."
        )
    if size / recipe.zoom ** (PARTS - 1) < LEAST_CROP:
        most = math.floor(100 * (size / LEAST_CROP) ** (1 / (PARTS - 1))) / 100
        raise UserError(
            f"{where}: jigmag's zoom of {recipe.zoom:g} leaves fewer than {LEAST_CROP} of {size} pixels at the last of "
            f"{PARTS} magnifications; set zoom to at most {most:g}, or a larger resolution."
        )
