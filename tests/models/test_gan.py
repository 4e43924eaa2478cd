"""The generator's and the discriminator's shapes, and that each of the discriminator's weights stretches by 1."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from noisewise.models.gan import Generator, JointDiscriminator, Trunk


@pytest.mark.parametrize("resolution", [4, 16, 24, 28, 32, 33, 64, 128])
def test_shapes_at_many_resolutions(resolution):
    latents = torch.randn(2, 5)
    images = Generator(5, 2, resolution)(latents)
    assert images.shape == (2, 3, resolution, resolution)
    assert images.abs().max() <= 1
    scores, again = JointDiscriminator(5, 2, resolution)((images, latents), (images, latents))
    assert scores.shape == (2, 3) and torch.equal(scores, again)


def test_widths_are_biggans_at_128():
    """Table 4 of arXiv 1809.11096: 16, 16, 8, 4, 2 and 1 times the width up, and 1, 2, 4, 8, 16, 16 down."""
    generator, trunk = Generator(5, 2, 128), Trunk(2, 128)
    assert generator.first.out_features == 16 * 2 * 4 * 4
    assert [block.conv2.out_channels for block in generator.blocks] == [32, 16, 8, 4, 2]
    assert [block.conv2.out_channels for block in trunk.blocks] == [2, 4, 8, 16, 32, 32]
    maps = torch.randn(1, 3, 128, 128)
    sides = [maps.shape[-1] for block in trunk.blocks if (maps := block(maps)) is not None]
    assert sides == [64, 32, 16, 8, 4, 4]


def layers(network):
    return {key: part for key, part in network.named_modules() if isinstance(part, (nn.Conv2d, nn.Linear))}


def largest_singular_values(network):
    """Of each convolution's and linear layer's weight as it is used, by torch's decomposition."""
    return {key: torch.linalg.matrix_norm(layer.weight.flatten(1), ord=2) for key, layer in layers(network).items()}


@torch.no_grad()
def test_every_weight_of_the_discriminator_has_a_largest_singular_value_of_one():
    torch.manual_seed(0)
    discriminator = JointDiscriminator(5, 4, 16)
    for layer in layers(discriminator).values():
        raw = layer.parametrizations.weight.original
        raw.copy_(3 * torch.randn_like(raw))
    pair = torch.randn(2, 3, 16, 16), torch.randn(2, 5)
    discriminator.train()
    for _ in range(300):
        discriminator(pair)
    found = largest_singular_values(discriminator.eval())
    assert len(found) == 30  # 3 blocks of 3, 2 perceptrons of 9, 3 scores
    for key, value in found.items():
        assert value.item() == pytest.approx(1, abs=0.01), key


def test_pairs_of_one_call_meet_the_same_weights():
    """Scores and gradients are those of all rows in one pass, after one step of the power iteration."""
    torch.manual_seed(0)
    one = JointDiscriminator(5, 4, 16).train()
    for layer in layers(one).values():  # orthogonal weights would hide whether a step was made
        nn.init.normal_(layer.parametrizations.weight.original)
    other = copy.deepcopy(one)
    images, latents = torch.randn(6, 3, 16, 16), torch.randn(6, 5)
    apart = torch.cat(one((images[:4], latents[:4]), (images[4:], latents[4:])))
    (together,) = other((images, latents))
    torch.testing.assert_close(apart, together, rtol=1e-5, atol=1e-5)
    apart.square().sum().backward()
    together.square().sum().backward()
    for mine, theirs in zip(one.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(mine.grad, theirs.grad, rtol=1e-4, atol=1e-4)
    for mine, theirs in zip(one.buffers(), other.buffers(), strict=True):
        assert torch.equal(mine, theirs)


def test_power_iteration_is_untouched_by_bfloat16():
    torch.manual_seed(0)
    one = JointDiscriminator(5, 4, 16).train()
    other = copy.deepcopy(one)
    pair = torch.randn(2, 3, 16, 16), torch.randn(2, 5)
    one(pair)
    with torch.autocast("cpu", torch.bfloat16):
        (scores,) = other(pair)
    assert scores.dtype == torch.float32
    for mine, theirs in zip(one.buffers(), other.buffers(), strict=True):
        assert torch.equal(mine, theirs)


def test_evaluation_leaves_the_power_iteration_alone():
    torch.manual_seed(0)
    discriminator = JointDiscriminator(5, 4, 16)
    for layer in layers(discriminator).values():
        nn.init.normal_(layer.parametrizations.weight.original)
    before = copy.deepcopy(discriminator.state_dict())
    pair = torch.randn(2, 3, 16, 16), torch.randn(2, 5)
    discriminator.eval()(pair)
    assert all(torch.equal(value, before[key]) for key, value in discriminator.state_dict().items())
    discriminator.train()(pair)
    changed = {key for key, value in discriminator.state_dict().items() if not torch.equal(value, before[key])}
    assert changed and all(key.endswith(("._u", "._v")) for key in changed)
