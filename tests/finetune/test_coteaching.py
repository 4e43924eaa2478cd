"""Co-teaching against cases worked out by hand."""

from __future__ import annotations

import pytest
import torch
from tests.train.toy import Table

from noisewise.finetune.coteaching import Method, keep_share, small_loss
from noisewise.runs.config import Noise
from noisewise.runs.methods import CoTeaching
from noisewise.train.method import Batch
from noisewise.train.ranks import Ranks


@pytest.mark.parametrize(
    ("epoch", "share"), [(0, 1.0), (0.99, 1.0), (1, 0.96), (5, 0.8), (5.7, 0.8), (10, 0.6), (40, 0.6)]
)
def test_schedule_of_the_paper(epoch, share):
    """tau = .4, T_k = 10: R falls by .04 an epoch to .6."""
    assert keep_share(epoch, rate=0.4, ramp_epochs=10) == pytest.approx(share)


def test_without_a_ramp_the_share_is_low_at_once():
    assert keep_share(0, rate=0.4, ramp_epochs=0) == pytest.approx(0.6)


def test_small_loss_picks_the_smallest():
    losses = torch.tensor([0.3, 2.0, 0.1, 0.9, 0.2])
    assert small_loss(losses, 0.6).tolist() == [True, False, True, False, True]
    assert small_loss(losses, 1.0).all()


def test_small_loss_keeps_one_at_least_and_ties_go_to_the_earlier():
    assert small_loss(torch.tensor([1.0, 1.0]), 0.01).tolist() == [True, False]


def test_a_share_that_is_whole_but_for_rounding_is_whole():
    assert small_loss(torch.arange(10.0), 1 - 0.7).sum() == 3


def method_of(first: torch.Tensor, second: torch.Tensor, labels: torch.Tensor) -> Method:
    networks = iter([Table(first), Table(second)])
    return Method(
        CoTeaching(ramp_epochs=0),
        lambda: next(networks),
        lambda images, *_: images.permute(0, 3, 1, 2).float(),
        labels,
        2,
        Noise("symmetric", 0.5, 0),
        Ranks(0, 1, torch.device("cpu")),
    )


def batch_of(count: int) -> Batch:
    images = torch.arange(count, dtype=torch.uint8)[:, None, None, None].expand(count, 1, 1, 3)
    return Batch(images, torch.arange(count), slice(0, count), count, 1, torch.Generator(), epoch=0.0)


def test_each_network_learns_from_the_others_pick():
    """Labels are all 0. The first network is sure of samples 0 and 1, the second of 2 and 3."""
    sure, unsure = [5.0, 0.0], [0.0, 5.0]
    first = torch.tensor([sure, sure, unsure, unsure])
    second = torch.tensor([unsure, unsure, sure, sure])
    method = method_of(first, second, torch.zeros(4, dtype=torch.int64))
    loss, statistics = method(batch_of(4))
    loss.backward()
    assert (method.first.logits.grad.abs().sum(1) > 0).tolist() == [False, False, True, True]
    assert (method.second.logits.grad.abs().sum(1) > 0).tolist() == [True, True, False, False]
    large = torch.nn.functional.cross_entropy(torch.tensor([unsure]), torch.tensor([0]))
    assert loss.item() == pytest.approx(2 * large.item(), rel=1e-6)
    assert statistics["keep_share"].item() == pytest.approx(0.5)


def test_prediction_averages_the_two():
    method = method_of(torch.tensor([[0.0, 0.0]]), torch.tensor([[100.0, 0.0]]), torch.zeros(1, dtype=torch.int64))
    images = torch.zeros(1, 3, 1, 1)
    assert method.predict(images).tolist() == [pytest.approx([0.75, 0.25])]
