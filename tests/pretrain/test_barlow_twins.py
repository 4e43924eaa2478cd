"""Barlow Twins against lightly's loss, a float64 formula, the authors' optimiser, and itself on two ranks."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from lightly.loss import BarlowTwinsLoss
from tests.pretrain.small import BATCH, ONE, make_batch, make_method, train
from tests.train.test_ranks import on_two_ranks

from noisewise.data.augment import Augmenter
from noisewise.pretrain.barlow_twins import barlow_loss
from noisewise.train.optimiser import build_optimiser, set_learning_rate


def naive(first, second, redundancy):
    """Equation 1, entry by entry: the loss, the diagonal's mean, the root mean square of the rest."""
    first, second = ((view - view.mean(0)) / (view.var(0, correction=0) + 1e-5).sqrt() for view in (first, second))
    correlation = first.T @ second / len(first)
    diagonal = torch.eye(len(correlation), dtype=torch.bool)
    on, off = correlation[diagonal], correlation[~diagonal]
    return ((1 - on) ** 2).sum() + redundancy * (off**2).sum(), on.mean(), (off**2).mean().sqrt()


def make_projections(count, width):
    generator = torch.Generator().manual_seed(count)
    first = 3 * torch.randn(count, width, generator=generator) + 1
    second = 0.3 * first + torch.randn(count, width, generator=generator)
    return first.requires_grad_(), second.requires_grad_()


@pytest.mark.parametrize(("count", "width"), [(2, 2), (16, 8), (64, 300)])
@pytest.mark.parametrize("redundancy", [0.0051, 0.5])
def test_loss_and_gradient_agree_with_lightly_and_with_float64(count, width, redundancy):
    views = make_projections(count, width)
    loss, on_diagonal, off_diagonal = barlow_loss(*views, redundancy)
    gradients = torch.autograd.grad(loss, views)
    lightlys = BarlowTwinsLoss(lambda_param=redundancy)(*views)
    exact, *statistics = naive(*(view.double() for view in views), redundancy)
    assert on_diagonal.item() == pytest.approx(statistics[0].item(), abs=1e-5)
    assert off_diagonal.item() == pytest.approx(statistics[1].item(), abs=1e-5)
    for other in (lightlys, exact):
        assert loss.item() == pytest.approx(other.item(), rel=1e-5, abs=1e-5)
        for ours, theirs in zip(gradients, torch.autograd.grad(other, views), strict=True):
            torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-4)


def test_the_off_diagonal_is_sound_where_the_diagonal_is_most_of_it():
    """1,000 dimensions all but uncorrelated: what is left when the diagonal's squares are taken from all squares."""
    first = torch.linalg.qr(torch.randn(4000, 1001, generator=torch.Generator().manual_seed(0), dtype=torch.float64))[0]
    first = first[:, 1:] + 1e-3 * first[:, :-1]
    loss, _, off_diagonal = barlow_loss(first.float(), first.float(), 0.0051)
    exact, _, exact_off_diagonal = naive(first, first, 0.0051)
    assert off_diagonal.item() == pytest.approx(exact_off_diagonal.item(), abs=2e-5)
    assert loss.item() == pytest.approx(exact.item(), rel=1e-3, abs=1e-5)


def test_a_dimension_that_never_varies_costs_one_and_harms_nothing():
    views = make_projections(16, 4)
    dead = [view * torch.tensor([1.0, 1.0, 1.0, 0.0]) for view in views]
    loss, _, _ = barlow_loss(*dead, 0.0051)
    rest, _, _ = barlow_loss(*(view[:, :3] for view in dead), 0.0051)
    assert loss.item() == pytest.approx(rest.item() + 1, abs=1e-5)
    assert all(torch.isfinite(gradient).all() for gradient in torch.autograd.grad(loss, views))


def test_the_projector_is_the_authors():
    """Their code: Linear without bias, BatchNorm1d, ReLU, twice, and a Linear without bias."""
    projector = make_method("barlow_twins", projector_hidden=32, projector_out=24).projector
    assert [type(layer).__name__ for layer in projector] == [*["Linear", "BatchNorm1d", "ReLU"] * 2, "Linear"]
    assert [tuple(layer.weight.shape) for layer in projector[::3]] == [(32, 16), (32, 32), (24, 32)]
    assert all(layer.bias is None for layer in projector[::3])


def test_only_the_second_view_is_solarised(monkeypatch):
    seen, real = [], Augmenter.__call__

    def spy(augment, *arguments):
        seen.append(augment.config)
        return real(augment, *arguments)

    monkeypatch.setattr(Augmenter, "__call__", spy)
    method = make_method("barlow_twins")
    method(make_batch())
    assert seen == [method.recipe.augmentation, method.recipe.second]
    assert [(config.blur_p, config.solarise_p) for config in seen] == [(1.0, 0.0), (0.1, 0.2)]


def step_on(ranks, path, total=BATCH):
    method = make_method("barlow_twins", ranks=ranks)
    wrapped = ranks.wrap(method, method.global_norm)  # kept: without its wrapper's life no gradient is averaged
    loss, statistics = wrapped(make_batch(ranks, total))
    loss.backward()
    return {
        "loss": loss.detach(),
        **statistics,
        "gradients": {name: value.grad for name, value in method.named_parameters()},
    }


def several_steps(ranks, path):
    return {"eight": step_on(ranks, path), "two images a rank": step_on(ranks, path, total=4)}


@pytest.fixture(scope="module")
def two_ranks(tmp_path_factory):
    return on_two_ranks(several_steps, tmp_path_factory.mktemp("ranks"))


def test_two_ranks_are_one(two_ranks):
    """Loss and gradients, through the encoder's and the projector's batch normalisation."""
    one = step_on(ONE, None)
    for rank in (found["eight"] for found in two_ranks):
        for name in ("loss", "on_diagonal", "off_diagonal"):
            assert rank[name].item() == pytest.approx(one[name].item(), abs=1e-5)
        for name, gradient in one["gradients"].items():
            # Each tensor as a whole: of a few images' cancelling gradients float32 leaves single entries less.
            assert (rank["gradients"][name] - gradient).norm() < 1e-5 * gradient.norm() + 1e-4, name
    assert sorted(gradient.norm() for gradient in one["gradients"].values())[1] > 1  # one bias stands before a norm


def test_two_images_a_rank_are_enough(two_ranks):
    for found in (step_on(ONE, None, total=2), *(rank["two images a rank"] for rank in two_ranks)):
        assert torch.isfinite(found["loss"])
        assert all(torch.isfinite(gradient).all() for gradient in found["gradients"].values())


def authors_lars(parameters, momenta, lr, bias_lr, weight_decay, momentum=0.9, eta=0.001):
    """A step of the LARS of the authors' code, written out: neither decay nor trust ratio for biases and norms."""
    for name, value in parameters.items():
        update = value.grad
        if value.ndim > 1:
            update = update + weight_decay * value.detach()
            update = update * (eta * value.detach().norm() / update.norm())
        momenta[name] = momentum * momenta.get(name, 0.0) + update
        value.data -= (lr if value.ndim > 1 else bias_lr) * momenta[name]


def test_optimiser_steps_are_the_authors():
    """Three steps. Ours divides by |gradient| + decay |weight|, theirs by |gradient + decay weight|: at the method's
    weight decay of 1e-6 that is no difference to be seen."""
    ours, theirs = (make_method("barlow_twins", norm=False) for _ in range(2))  # the projector has norms enough
    optimiser = build_optimiser(ours.recipe, ours.trained("all"), ONE.device)
    start, momenta = copy.deepcopy(dict(ours.named_parameters())), {}
    set_learning_rate(optimiser, 2.0)  # lr .2 and bias_lr .0048, ten times as large
    for step in range(3):
        for method in (ours, theirs):
            method.zero_grad()
            method(make_batch(seed=step))[0].backward()
        optimiser.step()
        authors_lars(dict(theirs.named_parameters()), momenta, lr=2.0, bias_lr=0.048, weight_decay=1e-6)
    for name, value in theirs.named_parameters():
        moved = (value - start[name]).norm()
        assert moved > 0, name
        assert (ours.get_parameter(name) - value).norm() < 1e-3 * moved, name


def test_training_brings_two_views_of_a_batch_together():
    method, records = make_method("barlow_twins"), []
    for _ in range(30):
        records += train(method, 1, lr=2.0)
    losses = [record["all_loss"] for record in records]
    assert np.isfinite(losses).all()
    assert losses[-1] < 0.05 * losses[0]
    assert records[-1]["on_diagonal"] > 0.9 > records[0]["on_diagonal"]


def test_a_resumed_training_is_the_training():
    one, other = make_method("barlow_twins"), make_method("barlow_twins")
    train(one, 3, lr=0.5)
    train(other, 1, lr=2.0, seed=50)
    other.load_state_dict(copy.deepcopy(one.state_dict()))
    assert train(one, 3, lr=0.5, seed=3) == train(other, 3, lr=0.5, seed=3)
    for name, value in one.state_dict().items():
        assert torch.equal(value, other.state_dict()[name]), name
