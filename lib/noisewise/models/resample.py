"""A vision transformer's weights for images or patches of another size than it was trained with.

Position embeddings: bicubic between the grids of patches, as arXiv 2010.11929, section 3.2. Patch kernels: the
pseudo-inverse of the patches' own resizing (FlexiViT, arXiv 2212.08013, section 3.4). Both are timm's.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import isqrt

from torch import Tensor

POSITIONS = "pos_embed"  # [1, 1 + tokens, d], the class token's first
KERNEL = "patch_embed.proj.weight"  # [d, 3, p, p]


def resample(given: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], list[str]]:
    """`given`, with the two tensors that depend on the size of images and patches made to fit `wanted`.

    Only another size is mended: tensors of another width d stay as they are.

    Returns:
        The state dict, and what was resampled: ["pos_embed (14x14 to 8x8)"].
    """
    state, notes = dict(given), []
    if POSITIONS in given and POSITIONS in wanted:
        old, new = given[POSITIONS], wanted[POSITIONS]
        if old.ndim == 3 and old.shape[::2] == new.shape[::2] and old.shape != new.shape and _side(old):
            from timm.layers import resample_abs_pos_embed

            side = _side(new)
            state[POSITIONS] = resample_abs_pos_embed(old, [side, side], num_prefix_tokens=1)
            notes.append(f"{POSITIONS} ({_side(old)}x{_side(old)} to {side}x{side})")
    if KERNEL in given and KERNEL in wanted:
        old, new = given[KERNEL], wanted[KERNEL]
        if old.ndim == 4 and old.shape[:2] == new.shape[:2] and old.shape != new.shape:
            from timm.layers import resample_patch_embed

            state[KERNEL] = resample_patch_embed(old, list(new.shape[2:]))
            notes.append(f"{KERNEL} ({old.shape[2]}x{old.shape[3]} to {new.shape[2]}x{new.shape[3]})")
    return state, notes


def _side(positions: Tensor) -> int:
    """Side of the square grid of patches; 0 if, without one class token, they make no square."""
    tokens = positions.shape[1] - 1
    side = isqrt(max(tokens, 0))
    return side if side**2 == tokens else 0
