"""Backbones as planning sees them: patches, and resolutions that they do not divide."""

from __future__ import annotations

import pytest

from noisewise.errors import UserError
from noisewise.runs.backbones import check_backbone, patch


@pytest.mark.parametrize(
    "stem, resolution, side",
    [("auto", 32, 4), ("auto", 64, 4), ("auto", 80, 16), ("small", 224, 4), ("standard", 32, 16)],
)
def test_the_stem_is_the_size_of_the_patches(stem, resolution, side):
    assert patch("vit_tiny", stem, resolution) == patch("vit_small", stem, resolution) == side
    assert patch("resnet18", stem, resolution) is None
    check_backbone("vit_tiny", stem, resolution)


@pytest.mark.parametrize(
    "stem, resolution, words",
    [
        ("standard", 100, "16 px, which do not divide resolution 100; set resolution=96 or 112, or stem=small."),
        ("auto", 100, "set resolution=96 or 112, or stem=small."),
        ("auto", 101, "set resolution=96 or 112."),
        ("auto", 70, "set resolution=64 or 80."),
        ("small", 30, "patches of 4 px, which do not divide resolution 30; set resolution=28 or 32."),
        ("standard", 8, "set resolution=16, or stem=small."),
        ("auto", 3, "set resolution=4."),
    ],
)
def test_the_nearest_resolutions_are_named_and_legal(stem, resolution, words):
    with pytest.raises(UserError) as error:
        check_backbone("vit_tiny", stem, resolution, "recipe pretrain.simclr")
    assert str(error.value).startswith("recipe pretrain.simclr: vit_tiny cuts images into patches of")
    assert str(error.value).endswith(words)
    for side in words.partition("set resolution=")[2].partition(",")[0].strip(".").split(" or "):
        check_backbone("vit_tiny", stem, int(side))


def test_a_resnet_takes_any_resolution():
    for side in (1, 33, 100, 225):
        check_backbone("resnet50", "standard", side)


def test_unknown_names_list_the_legal_ones():
    with pytest.raises(UserError, match="'vit_tny' in recipe all.*Did you mean 'vit_tiny'.*resnet18"):
        check_backbone("vit_tny", "auto", 64, "recipe all")
    with pytest.raises(UserError, match="unknown stem 'tiny'"):
        check_backbone("vit_tiny", "tiny", 64)
