"""Which backbones there are, and what a stem makes of a resolution; planning and training both go by this."""

from __future__ import annotations

from itertools import count

from noisewise.errors import UserError, unknown

RESNETS = ("resnet18", "resnet50")
VITS = ("vit_tiny", "vit_small")
BACKBONES = (*RESNETS, *VITS)
STEMS = ("auto", "small", "standard")
SMALL_UP_TO = 64  # pixels: up to here "auto" takes the small stem
SMALL_PATCH, STANDARD_PATCH = 4, 16  # sides of a vision transformer's patches, pixels


def has_small_stem(stem: str, resolution: int) -> bool:
    """Whether a network for images of `resolution` pixels a side gets the stem for small images."""
    return stem == "small" or (stem == "auto" and resolution <= SMALL_UP_TO)


def patch(name: str, stem: str, resolution: int) -> int | None:
    """Side of the patches that a vision transformer cuts its images into, pixels; None for a ResNet."""
    if name not in VITS:
        return None
    return SMALL_PATCH if has_small_stem(stem, resolution) else STANDARD_PATCH


def check_backbone(name: str, stem: str, resolution: int, where: str = "") -> None:
    """Refuse a backbone that cannot be built, or not for this resolution.

    Raises:
        UserError: an unknown name or stem, with the legal ones; or patches that do not divide the resolution, with
            the nearest that they do divide. `where` says whose the values are.
    """
    if name not in BACKBONES:
        raise unknown("backbone", name, BACKBONES, where)
    if stem not in STEMS:
        raise unknown("stem", stem, STEMS, where)
    if _divides(name, stem, resolution):
        return
    smaller = next((side for side in range(resolution - 1, 0, -1) if _divides(name, stem, side)), None)
    larger = next(side for side in count(resolution + 1) if _divides(name, stem, side))
    advice = f"set resolution={larger}" if smaller is None else f"set resolution={smaller} or {larger}"
    if resolution % SMALL_PATCH == 0:
        advice += ", or stem=small"
    raise UserError(
        f"{where + ': ' if where else ''}{name} cuts images into patches of {patch(name, stem, resolution)} px, "
        f"which do not divide resolution {resolution}; {advice}."
    )


def _divides(name: str, stem: str, resolution: int) -> bool:
    side = patch(name, stem, resolution)
    return side is None or resolution % side == 0
