"""Two ranks against one: the same losses, the same weights, the same picks."""

from __future__ import annotations

import os
from functools import partial
from importlib import import_module

import pytest
import torch
import torch.multiprocessing as multiprocessing
from tests.processes import FORKS
from tests.train.toy import Table, toy_loop
from torch import nn

from noisewise.errors import RunError
from noisewise.finetune import dividemix
from noisewise.pretrain.simclr import nt_xent
from noisewise.runs.config import Noise
from noisewise.runs.methods import FINETUNE, exists
from noisewise.train import loop as loops
from noisewise.train.control import Control, Interrupted
from noisewise.train.method import Batch
from noisewise.train.ranks import Ranks, joined, mean_over_batch

CPU = torch.device("cpu")


def on_two_ranks(work, path):
    """Call work(ranks, path) in two processes joined by gloo; returns what each saved as path/rank.pt."""
    multiprocessing.start_processes(_rank, (work, str(path)), nprocs=2, start_method=FORKS.get_start_method())
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
        "decided": torch.tensor(ranks.decide(7 + ranks.rank)),
        "any": torch.tensor([ranks.any(ranks.rank == 1), ranks.any(False)]),
        "mean": ranks.sum(mean_over_batch(torch.arange(5.0)[rows], 5, ranks.world)) / ranks.world,
    }


def test_uneven_rows_are_gathered_in_order(tmp_path):
    for found in on_two_ranks(gather, tmp_path):
        assert found["rows"].tolist() == torch.arange(10.0).reshape(5, 2).tolist()
        assert found["decided"].item() == 7
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


PICKING = ("coteaching", "jocor")  # methods that learn from a part of each batch


def method_gradient(ranks, path, name):
    """One step, or one of each turn, of a fine-tuning method on 7 images, 4 of them on the first of two ranks."""
    generator = torch.Generator().manual_seed(0)
    tables = iter([Table(torch.randn(7, 3, generator=generator)) for _ in range(2)])
    labels = torch.randint(0, 3, (7,), generator=generator)
    module = import_module(f"noisewise.finetune.{name}")
    recipe = FINETUNE[name](**({"ramp_epochs": 0} if name in PICKING else {}))
    method = module.Method(recipe, lambda: next(tables), as_they_are, labels, 3, Noise("symmetric", 0.4), ranks)
    rows = ranks.rows(7)
    images = torch.arange(7, dtype=torch.uint8)[rows, None, None, None].expand(-1, 1, 1, 3)
    wrapped = ranks.wrap(method, in_turns=len(method.turns) > 1)
    for turn in method.turns:
        batch = Batch(images, torch.arange(7)[rows], rows, 7, ranks.world, torch.Generator(), epoch=0.0, turn=turn)
        loss, _ = wrapped(batch)
        loss.backward()
    gradients = {key: value.grad for key, value in method.named_parameters()}
    return {"loss": loss.detach(), **gradients, **dict(method.named_buffers())}


def as_they_are(images, *_):
    return images.permute(0, 3, 1, 2).float()


@pytest.mark.parametrize("name", [name for name in FINETUNE if exists("finetune", name)])
def test_a_fine_tuning_step_on_two_ranks_is_the_step_on_one(tmp_path, name):
    found = on_two_ranks(partial(method_gradient, name=name), tmp_path)
    one = method_gradient(Ranks(0, 1, CPU), None, name)
    assert torch.stack([rank["loss"] for rank in found]).mean().item() == pytest.approx(
        one.pop("loss").item(), abs=1e-6
    )
    for key, gradient in one.items():
        for rank in found:
            torch.testing.assert_close(rank[key], gradient, atol=1e-6, rtol=1e-5)
    if name in PICKING:  # 4 of 7 are picked: the rest taught nobody
        gradients = [one[key] for key in one if key.endswith("logits")]
        assert [(each.abs().sum(1) > 0).sum().item() for each in gradients] == [4, 4]


class Small(nn.Module):
    """A network of a few weights, with batch normalisation."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(12, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Linear(6, 3))

    def forward(self, images):
        return self.layers(images.flatten(1) / 255)


def mixture_gradient(ranks, path, lambda_u):
    """DivideMix's step of both networks on 7 images of 2 x 2, of which 4 and 3 are labelled."""
    torch.manual_seed(0)
    labels = torch.arange(7) % 3
    recipe = FINETUNE["dividemix"](cross_entropy_epochs=1, lambda_u=lambda_u)
    method = dividemix.Method(recipe, Small, as_they_are, labels, 3, Noise("symmetric", 0.4), ranks)
    method.clean.copy_(torch.tensor([[0.9, 0.2, 0.8, 0.1, 0.7, 0.3, 0.6], [0.1, 0.9, 0.2, 0.8, 0.3, 0.7, 0.4]]))
    rows = ranks.rows(7)
    images = torch.randint(256, (7, 2, 2, 3), dtype=torch.uint8)[rows]
    wrapped, losses = ranks.wrap(method, in_turns=True), []
    for turn in method.turns:
        generator = torch.Generator().manual_seed(1)
        loss, _ = wrapped(Batch(images, torch.arange(7)[rows], rows, 7, ranks.world, generator, 9.5, turn))
        loss.backward()
        losses.append(loss.detach())
    gradients = {key: value.grad for key, value in method.named_parameters()}
    return {"losses": torch.stack(losses), **gradients, **dict(method.named_buffers())}


@pytest.mark.parametrize("lambda_u", [0.0, 25.0])
def test_mixtures_on_two_ranks_are_those_on_one(tmp_path, lambda_u):
    """Partners of a mixture come from the other rank, and the mean prediction is over both."""
    found = on_two_ranks(partial(mixture_gradient, lambda_u=lambda_u), tmp_path)
    one = mixture_gradient(Ranks(0, 1, CPU), None, lambda_u)
    torch.testing.assert_close(
        torch.stack([rank["losses"] for rank in found]).mean(0), one.pop("losses"), atol=1e-6, rtol=1e-5
    )
    for key, value in one.items():
        for rank in found:
            torch.testing.assert_close(rank[key], value, atol=1e-5, rtol=1e-4, check_dtype=False)


class StopOnSecondRank(Control):
    """Asks the second rank alone to stop, at its n-th look."""

    def __init__(self, rank: int, looks: int) -> None:
        super().__init__()
        self.rank, self.looks = rank, looks

    @property
    def asked(self) -> bool:
        self.looks -= 1
        return self.rank == 1 and self.looks < 0


def stopped_and_resumed(ranks, path, looks):
    """A run that its second rank is asked to stop at every `looks`-th step, resumed until it is done."""
    loops.AGREE_EVERY = 1
    while True:
        loop, _ = toy_loop(f"{path}/runs", StopOnSecondRank(ranks.rank, looks), world=ranks.world)
        try:
            place = loop.run()
        except Interrupted:
            continue
        return {"weight": loop.method.layer.weight.detach(), "losses": torch.tensor([e["loss"] for e in place.history])}


def test_ranks_stop_together_and_resume_exactly(tmp_path):
    whole = on_two_ranks(partial(stopped_and_resumed, looks=1000), tmp_path)
    (tmp_path / "torn").mkdir()
    torn = on_two_ranks(partial(stopped_and_resumed, looks=2), tmp_path / "torn")
    for one, other in zip(whole, torn, strict=True):
        assert torch.equal(one["weight"], other["weight"]) and torch.equal(one["losses"], other["losses"])


def test_cuda_without_a_gpu_is_a_config_failure(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(RunError, match="no GPU") as error, joined("cuda"):
        pass
    assert error.value.kind == "config"
