"""Colour changes against torchvision's."""

from __future__ import annotations

import torch
from torchvision.transforms import functional as peer

from noisewise.data import colour

ONE = torch.ones(3)


def view(low: float = 0.3, high: float = 0.6) -> torch.Tensor:
    """[3, 3, 32, 32], away from 0 and 1 unless asked: nothing is cut off."""
    generator = torch.Generator().manual_seed(0)
    return low + (high - low) * torch.rand(3, 3, 32, 32, generator=generator)


def adjusted(batch, brightness=ONE, contrast=ONE, saturation=ONE, hue=0 * ONE):
    changed = colour.adjust(batch.clone(), brightness, contrast, colour.mixing(saturation))
    return colour.shift_hue(changed, hue)


def each(function, batch, factors):
    return torch.stack([function(image, float(factor)) for image, factor in zip(batch, factors, strict=True)])


def test_each_change_alone_is_torchvisions():
    factors = torch.tensor([0.5, 1.0, 1.4])
    for name in ("brightness", "contrast", "saturation"):
        theirs = each(getattr(peer, f"adjust_{name}"), view(), factors)
        torch.testing.assert_close(adjusted(view(), **{name: factors}), theirs, atol=1e-4, rtol=0)


def test_saturation_of_nothing_is_torchvisions_grey():
    theirs = view()
    theirs[1:] = peer.rgb_to_grayscale(theirs[1:], 3)
    torch.testing.assert_close(adjusted(view(), saturation=torch.tensor([1.0, 0.0, 0.0])), theirs, atol=1e-4, rtol=0)


def test_hue_is_torchvisions():
    for shifts in ([-0.5, -0.2, -0.01], [0.0, 0.2, 0.5]):
        theirs = each(peer.adjust_hue, view(0, 1), shifts)
        torch.testing.assert_close(adjusted(view(0, 1), hue=torch.tensor(shifts)), theirs, atol=1e-5, rtol=0)


def test_changes_together_are_torchvisions_in_order():
    theirs = view()
    factors = {
        "brightness": torch.tensor([0.8, 1.2, 1.0]),
        "contrast": torch.tensor([0.7, 1.3, 1.1]),
        "saturation": torch.tensor([0.4, 1.2, 1.3]),
        "hue": torch.tensor([0.2, -0.1, 0.0]),
    }
    for name, values in factors.items():
        theirs = each(getattr(peer, f"adjust_{name}"), theirs, values)
    torch.testing.assert_close(adjusted(view(), **factors), theirs, atol=3e-4, rtol=0)


def test_where_values_are_cut_it_stays_near_torchvisions():
    """SimCLR's strengths over the whole range: torchvision also cuts between contrast and saturation."""
    factors = {"brightness": 1.4 * ONE, "contrast": 1.5 * ONE, "saturation": torch.tensor([0.3, 1.0, 1.7])}
    theirs = view(0, 1)
    for name, values in factors.items():
        theirs = each(getattr(peer, f"adjust_{name}"), theirs, values)
    assert (adjusted(view(0, 1), **factors) - theirs).abs().mean() < 0.02


def test_nothing_changes_nothing():
    torch.testing.assert_close(adjusted(view(0, 1)), view(0, 1), atol=1e-6, rtol=0)


def test_results_stay_between_0_and_1():
    strong = adjusted(view(0, 1), 1.8 * ONE, 1.8 * ONE, 1.8 * ONE, 0.2 * ONE)
    assert strong.min() >= 0 and strong.max() <= 1


def test_a_grey_image_stays_grey():
    image = view(0, 1)[:, :1].expand(3, 3, 32, 32)
    changed = adjusted(image, 1.3 * ONE, 0.6 * ONE, 1.7 * ONE, torch.tensor([-0.2, 0.1, 0.2]))
    torch.testing.assert_close(changed[:, 0], changed[:, 1], atol=1e-6, rtol=0)
    torch.testing.assert_close(changed[:, 0], changed[:, 2], atol=1e-6, rtol=0)


def test_solarise_is_exact():
    levels = torch.arange(256, dtype=torch.uint8).view(1, 1, 16, 16).expand(2, 3, 16, 16)
    ours = colour.solarise(levels / 255, torch.tensor([True, False]))
    assert torch.equal((ours[0] * 255).round().to(torch.uint8), peer.solarize(levels[0], 128))
    assert torch.equal(ours[1], levels[1] / 255)
