"""SimCLR's loss against lightly's."""

from __future__ import annotations

import pytest
import torch
from lightly.loss import NTXentLoss

from noisewise.pretrain.simclr import nt_xent


@pytest.mark.parametrize("temperature", [0.07, 0.5])
@pytest.mark.parametrize(("count", "width"), [(2, 3), (16, 8), (64, 128)])
def test_loss_and_gradient_agree_with_lightly(count, width, temperature):
    generator = torch.Generator().manual_seed(count)
    first = torch.randn(count, width, generator=generator, requires_grad=True)
    second = torch.randn(count, width, generator=generator, requires_grad=True)
    ours = nt_xent(first, second, temperature)
    theirs = NTXentLoss(temperature=temperature)(first, second)
    assert ours.item() == pytest.approx(theirs.item(), abs=1e-5)
    ours_gradient, theirs_gradient = (torch.autograd.grad(loss, first, retain_graph=True)[0] for loss in (ours, theirs))
    torch.testing.assert_close(ours_gradient, theirs_gradient, atol=1e-5, rtol=1e-4)


def test_views_alike_and_others_opposite_leave_little_loss():
    views = torch.tensor([[1.0, 0.0], [-1.0, 0.0]])
    assert nt_xent(views, views, 0.05).item() == pytest.approx(0.0, abs=1e-6)


def test_all_views_alike_is_chance():
    """2n - 1 others, all as near: the loss is log(2n - 1)."""
    views = torch.ones(8, 4)
    assert nt_xent(views, views, 0.5).item() == pytest.approx(torch.tensor(15.0).log().item(), abs=1e-5)
