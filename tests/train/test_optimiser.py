"""Optimisers and their parameter groups."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from noisewise.runs.recipe import Recipe
from noisewise.train.optimiser import build_optimiser, set_learning_rate

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("name", "kind"), [("sgd", torch.optim.SGD), ("adam", torch.optim.Adam), ("adamw", torch.optim.AdamW)]
)
def test_optimisers_take_the_recipes_numbers(name, kind):
    recipe = Recipe(optimiser=name, lr=0.5, momentum=0.8, nesterov=True, betas=[0.5, 0.9], weight_decay=0.01)
    optimiser = build_optimiser(recipe, nn.Linear(2, 2).parameters(), CPU)
    assert type(optimiser) is kind
    group = optimiser.param_groups[0]
    assert (group["lr"], group["weight_decay"]) == (0.5, 0.01)
    assert name != "sgd" or (group["momentum"], group["nesterov"]) == (0.8, True)
    set_learning_rate(optimiser, 0.25)
    assert group["lr"] == 0.25
    assert name == "sgd" or group["betas"] == (0.5, 0.9)


def test_lars_leaves_biases_and_norms_alone_but_for_their_own_rate():
    model = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3))
    recipe = Recipe(optimiser="lars", lr=0.2, bias_lr=0.0048, weight_decay=1e-6)
    optimiser = build_optimiser(recipe, model.parameters(), CPU)
    weights, rest = optimiser.param_groups
    assert [parameter.shape for parameter in weights["params"]] == [(3, 4)]
    assert len(rest["params"]) == 3
    assert (weights["weight_decay"], rest["weight_decay"]) == (1e-6, 0)
    assert (weights["always_adapt"], rest["always_adapt"]) == (True, False)
    set_learning_rate(optimiser, 0.4)
    assert (weights["lr"], rest["lr"]) == pytest.approx((0.4, 0.0096))


def test_a_step_of_lars_is_that_of_the_paper():
    """You et al., arXiv 1708.03888, algorithm 1, for a weight; plain momentum for a bias."""
    layer = nn.Linear(4, 3)
    weight, bias = layer.weight.detach().clone(), layer.bias.detach().clone()
    recipe = Recipe(optimiser="lars", lr=0.2, momentum=0.9, weight_decay=0.01)
    optimiser = build_optimiser(recipe, layer.parameters(), CPU)
    layer.weight.grad, layer.bias.grad = torch.ones(3, 4), torch.ones(3)
    optimiser.step()
    ratio = 0.001 * weight.norm() / (12**0.5 + 0.01 * weight.norm())
    torch.testing.assert_close(layer.weight.detach(), weight - 0.2 * ratio * (1 + 0.01 * weight))
    torch.testing.assert_close(layer.bias.detach(), bias - 0.2)


def test_frozen_parameters_are_nobodys():
    layer = nn.Linear(2, 2)
    layer.bias.requires_grad_(False)
    (group,) = build_optimiser(Recipe(), layer.parameters(), CPU).param_groups
    assert [id(parameter) for parameter in group["params"]] == [id(layer.weight)]
