"""Two ranks against one: the same losses, the same weights, the same picks."""

from __future__ import annotations

import os

import numpy as np
import pytest
import torch
import torch.multiprocessing as multiprocessing
from tests.train.toy import toy_loop
from torch import nn

from noisewise.errors import RunError
from noisewise.pretrain.simclr import nt_xent
from noisewise.train.control import Control
from noisewise.train.ranks import Ranks, joined, mean_over_batch

CPU = torch.device("cpu")


def on_two_ranks(work, path):
    """Call work(ranks, path) in two processes joined by gloo; returns what each saved as path/rank.pt."""
    multiprocessing.spawn(_rank, (work, str(path)), nprocs=2)
    return [torch.load(f"{path}/{rank}.pt") for rank in range(2)]


def _rank(rank, work, path):
    torch.set_num_threads(1)
    os.environ |= {"RANK": str(rank), "WORLD_SIZE": "2", "NOISEWISE_RENDEZVOUS": f"{path}/rendezvous"}
    with joined("cpu") as ranks:
        torch.save(work(ranks, path), f"{path}/{rank}.pt")


def make_views():
    generator = torch.Generator().manual_seed(0)
    return torch.randn(2, 8, 5, generator=generator), torch.randn(5, 4, generator=generator)


def simclr_gradient(ranks, path):
    views, weights = make_views()
    layer = nn.Linear(5, 4, bias=False)
    layer.weight.data = weights.T.contiguous()
    rows = ranks.rows(8)
    model = ranks.wrap(layer)
    loss = nt_xent(model(views[0][rows]), layer(views[1][rows]), 0.2)
    loss.backward()
    return {"loss": loss.detach(), "gradient": layer.weight.grad}


def test_simclr_on_two_ranks_is_simclr_on_one(tmp_path):
    found = on_two_ranks(simclr_gradient, tmp_path)
    one = simclr_gradient(Ranks(0, 1, CPU), None)
    assert torch.stack([rank["loss"] for rank in found]).mean().item() == pytest.approx(one["loss"].item(), abs=1e-6)
    for rank in found:
        torch.testing.assert_close(rank["gradient"], one["gradient"], atol=1e-6, rtol=1e-5)


def gather(ranks, path):
    rows = ranks.rows(5)
    return {
        "rows": ranks.gather_rows(torch.arange(10.0).reshape(5, 2)[rows], 5),
        "array": torch.from_numpy(ranks.gather_array(np.arange(5)[rows], 5)),
        "any": torch.tensor([ranks.any(ranks.rank == 1), ranks.any(False)]),
        "mean": ranks.sum(mean_over_batch(torch.arange(5.0)[rows], 5, ranks.world)) / ranks.world,
    }


def test_uneven_rows_are_gathered_in_order(tmp_path):
    for found in on_two_ranks(gather, tmp_path):
        assert found["rows"].tolist() == torch.arange(10.0).reshape(5, 2).tolist()
        assert found["array"].tolist() == list(range(5))
        assert found["any"].tolist() == [True, False]
        assert found["mean"].item() == pytest.approx(2.0)


def whole_run(ranks, path):
    loop, _ = toy_loop(f"{path}/runs", Control(), world=ranks.world)
    loop.method.eval()
    loop.method.train = lambda mode=True: loop.method  # dropout draws differ between ranks by design
    place = loop.run()
    return {"weight": loop.method.layer.weight.detach(), "losses": torch.tensor([e["loss"] for e in place.history])}


def test_a_training_on_two_ranks_is_the_training_on_one(tmp_path):
    """30 images in batches of 8 and 7: the ranks' shares are unequal, and still the mean is the global batch's."""
    found = on_two_ranks(whole_run, tmp_path)
    one = whole_run(Ranks(0, 1, CPU), tmp_path / "one")
    for rank in found:
        torch.testing.assert_close(rank["weight"], one["weight"], atol=1e-6, rtol=1e-5)
        torch.testing.assert_close(rank["losses"], one["losses"], atol=1e-6, rtol=1e-5)


def test_cuda_without_a_gpu_is_a_config_failure(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(RunError, match="no GPU") as error, joined("cuda"):
        pass
    assert error.value.kind == "config"
