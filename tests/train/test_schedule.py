"""Learning rates and optimisers."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from noisewise.runs.recipe import Recipe
from noisewise.train.optimiser import build_optimiser, set_learning_rate
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


@pytest.mark.parametrize(("name", "kind"), [("sgd", torch.optim.SGD), ("adam", torch.optim.Adam)])
def test_optimisers_take_the_recipes_numbers(name, kind):
    recipe = Recipe(optimiser=name, lr=0.5, momentum=0.8, nesterov=True, weight_decay=0.01)
    optimiser = build_optimiser(recipe, nn.Linear(2, 2).parameters(), torch.device("cpu"))
    assert type(optimiser) is kind
    group = optimiser.param_groups[0]
    assert (group["lr"], group["weight_decay"]) == (0.5, 0.01)
    assert name == "adam" or (group["momentum"], group["nesterov"]) == (0.8, True)
    set_learning_rate(optimiser, 0.25)
    assert group["lr"] == 0.25
