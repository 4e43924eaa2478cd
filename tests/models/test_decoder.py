"""The decoder: every resolution, a modest number of weights, and each pixel a function of the code."""

from __future__ import annotations

import pytest
import torch

from noisewise.models.decoder import Decoder, doubled

SIDES = {
    4: (4, 0),
    7: (7, 0),
    8: (4, 1),
    20: (5, 2),
    24: (6, 2),
    28: (7, 2),
    31: (8, 2),
    32: (4, 3),
    100: (7, 4),
    128: (4, 5),
    224: (7, 5),
    512: (4, 7),
}


def weights(module):
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.mark.parametrize(("resolution", "expected"), SIDES.items())
def test_first_map_and_doublings(resolution, expected):
    assert doubled(resolution) == expected


@pytest.mark.parametrize("resolution", [3, 4, 20, 24, 28, 31, 32, 100, 224])
def test_maps_codes_to_images_of_any_resolution(resolution):
    torch.manual_seed(0)
    decoder = Decoder(8, 16, resolution)
    with torch.no_grad():
        logits = decoder(torch.randn(2, 8))
    assert logits.shape == (2, 3, resolution, resolution)
    assert (logits[0] != logits[1]).float().mean() > 0.99  # no border that the code does not reach


def test_has_the_weights_that_a_count_by_hand_gives():
    """20 px: 5 x 5 x 16, then 16 -> 16 channels (the fewest), twice: 5 -> 10 -> 20."""
    first = (8 + 1) * 16 * 25 + 2 * 16
    doubling = 16 * 16 * 9 + 2 * 16
    last = 16 * 3 * 9 + 3
    assert weights(Decoder(8, 16, 20)) == first + 2 * doubling + last


@pytest.mark.parametrize("resolution", [28, 100, 128, 224, 512])
def test_is_smaller_than_a_resnet18(resolution):
    assert weights(Decoder(256, 512, resolution)) < 11.2e6


@pytest.mark.parametrize(("resolution", "whole", "border"), [(28, 28, 0), (9, 10, 0), (30, 32, 1), (100, 112, 6)])
def test_the_middle_of_the_last_map_is_kept(resolution, whole, border):
    torch.manual_seed(0)
    decoder, seen = Decoder(4, 16, resolution).eval(), []
    decoder.last.register_forward_hook(lambda module, inputs, output: seen.append(output))
    with torch.no_grad():
        kept = decoder(torch.randn(2, 4))
    inside = slice(border, border + resolution)
    assert seen[0].shape == (2, 3, whole, whole)
    assert torch.equal(kept, seen[0][:, :, inside, inside])
