"""Batch normalisation over ranks, on the CPU, against torch's on one rank."""

from __future__ import annotations

import pytest
import torch
from tests.train.test_ranks import on_two_ranks
from torch import nn

from noisewise.train.global_norm import GlobalBatchNorm, span_ranks
from noisewise.train.ranks import Ranks

ONE = Ranks(0, 1, torch.device("cpu"))


def network() -> nn.Module:
    torch.manual_seed(0)
    layers = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(16, 5))
    layers.append(nn.BatchNorm1d(5, affine=False))
    nn.init.normal_(layers[1].weight)
    return layers


def two_steps(ranks, path):
    """Two steps on seven images, four of them on the first of two ranks."""
    model = network()
    optimiser = torch.optim.SGD(model.parameters(), lr=0.1)
    wrapped = ranks.wrap(model)
    generator = torch.Generator().manual_seed(1)
    for _ in range(2):
        images, weights = torch.randn(7, 3, 4, 4, generator=generator), torch.randn(7, 5, generator=generator)
        rows = ranks.rows(7)
        loss = (wrapped(images[rows]).sigmoid() * weights[rows]).sum() * ranks.world
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    model.eval()
    return {**model.state_dict(), "seen": model(torch.ones(2, 3, 4, 4)).detach()}


def test_two_steps_on_two_ranks_are_those_on_one(tmp_path):
    one = two_steps(ONE, None)
    for found in on_two_ranks(two_steps, tmp_path):
        assert found.keys() == one.keys()
        for name, value in one.items():
            torch.testing.assert_close(found[name], value, atol=1e-5, rtol=1e-5)


def in_bfloat16(ranks, path):
    """The moments and the output of a step whose count of rows, 2 x 2,450, bfloat16 does not have."""
    norm = nn.Sequential(nn.BatchNorm2d(2))
    wrapped = ranks.wrap(norm)
    images = 3 + torch.randn(2, 2, 49, 50, generator=torch.Generator().manual_seed(0))
    with torch.autocast("cpu", torch.bfloat16):
        found = wrapped(images[ranks.rows(2)].bfloat16())
    return {"kind": found.dtype, **norm.state_dict()}


def test_bfloat16_has_moments_in_full(tmp_path):
    one = in_bfloat16(ONE, None)
    for found in on_two_ranks(in_bfloat16, tmp_path):
        assert found["kind"] == torch.bfloat16
        torch.testing.assert_close(found["0.running_mean"], one["0.running_mean"], atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(found["0.running_var"], one["0.running_var"], atol=1e-4, rtol=1e-3)


def test_the_weights_stay_the_same_tensors():
    model = network()
    before = {name: id(value) for name, value in (*model.named_parameters(), *model.named_buffers())}
    model.eval()
    span_ranks(model, torch.device("cpu"))
    assert isinstance(model[1], GlobalBatchNorm) and not model[1].training
    assert {name: id(value) for name, value in (*model.named_parameters(), *model.named_buffers())} == before
    with pytest.raises(ValueError, match="two dimensions"):
        model.train()[1](torch.ones(3))
