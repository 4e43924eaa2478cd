"""Learning rates."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from noisewise.runs.recipe import Recipe
from noisewise.train.schedule import learning_rate


def test_cosine_agrees_with_torch():
    recipe = Recipe(epochs=10, lr=0.3, final_lr=0.01)
    optimiser = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.3)
    torchs = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, T_max=10, eta_min=0.01)
    for epoch in range(10):
        assert learning_rate(recipe, epoch) == pytest.approx(torchs.get_last_lr()[0])
        optimiser.step()
        torchs.step()


def test_warm_up_then_peak_then_decay():
    recipe = Recipe(epochs=20, lr=1.0, warmup_epochs=2, decay_from_epoch=10)
    assert [learning_rate(recipe, epoch) for epoch in (0, 1, 2, 9.9)] == [0.0, 0.5, 1.0, 1.0]
    assert learning_rate(recipe, 15) == pytest.approx(0.5)
    assert learning_rate(recipe, 20) == pytest.approx(0.0)


def test_constant_stays():
    recipe = Recipe(epochs=20, lr=0.1, schedule="constant", warmup_epochs=1)
    assert {learning_rate(recipe, epoch) for epoch in (1, 5, 20)} == {0.1}


def test_a_decay_that_starts_after_the_end_never_does():
    assert learning_rate(Recipe(epochs=5, lr=0.1, decay_from_epoch=10), 4.9) == 0.1


def test_steps_are_taken_at_their_shares_of_the_epochs():
    """RotNet's: 0.1, and a fifth of it after 60, 120 and 160 of 200 epochs; against torch's."""
    recipe = Recipe(epochs=200, lr=0.1, schedule="step")
    optimiser = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.1)
    torchs = torch.optim.lr_scheduler.MultiStepLR(optimiser, [60, 120, 160], gamma=0.2)
    for epoch in range(200):
        assert learning_rate(recipe, epoch) == pytest.approx(torchs.get_last_lr()[0])
        optimiser.step()
        torchs.step()


def test_linear_scaling_is_asked_for_and_scales_every_rate():
    """Barlow Twins': 0.2 for a batch of 256, down to a thousandth; over 512 images twice that."""
    recipe = Recipe(epochs=10, lr=0.2, final_lr=0.0002, batch=512, lr_batch=256, warmup_epochs=2)
    assert [learning_rate(recipe, epoch) for epoch in (1, 2, 10)] == pytest.approx([0.2, 0.4, 0.0004])
    assert learning_rate(Recipe(lr=0.2, batch=512), 0) == 0.2
