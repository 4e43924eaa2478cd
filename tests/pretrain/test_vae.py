"""The VAE: its terms against torch's, its gradient against one by hand, its targets, pictures, ranks and state."""

from __future__ import annotations

import copy
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from tests.pretrain import small
from tests.train.test_ranks import on_two_ranks
from torch import nn
from torch.distributions import Normal
from torch.distributions import kl_divergence as torch_kl
from torch.nn import functional as F

from noisewise.pretrain import vae
from noisewise.pretrain.vae import kl_divergence, reconstruction_loss
from noisewise.runs.config import Invariance, Normalise
from noisewise.train.optimiser import build_optimiser


def random(*size, seed=0):
    return torch.randn(*size, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def make_vae(**changes):
    return small.make_method("vae", **changes)


def test_kl_agrees_with_torchs():
    mean, log_variance = random(6, 9), 2 * random(6, 9, seed=1)
    theirs = torch_kl(Normal(mean, (log_variance / 2).exp()), Normal(0.0, 1.0)).sum(1)
    torch.testing.assert_close(kl_divergence(mean, log_variance), theirs, atol=1e-5, rtol=0)
    assert kl_divergence(torch.zeros(2, 3), torch.zeros(2, 3)).tolist() == [0, 0]


def test_reconstruction_agrees_with_bce_of_the_sigmoid():
    logits, target = 3 * random(4, 3, 5, 5), random(4, 3, 5, 5, seed=1).sigmoid()
    theirs = nn.BCELoss(reduction="none")(logits.sigmoid(), target).flatten(1).sum(1)
    torch.testing.assert_close(reconstruction_loss(logits, target), theirs, atol=1e-5, rtol=0)


class Scaled(nn.Module):
    """The decoder z -> w * z for every value of an image of 4 x 4."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(1.5))

    def forward(self, code):
        return (self.weight * code).view(-1, 1, 1, 1).expand(-1, 3, 4, 4)


def test_gradient_is_the_one_derived_by_hand():
    """One dimension of code, a decoder w * z: per image and value, dL/dlogit = sigmoid(w z) - x; then the chain rule.

    The posterior is the same for all images: a layer of which only the biases, mu and log s^2, are not zero.
    """
    method = make_vae(latent=1, beta=0.7, resolution=4)
    target, noise = torch.rand(5, 3, 4, 4, generator=torch.Generator().manual_seed(0)), random(5, 1).float()
    method.augment = SimpleNamespace(view=lambda *_: target, normalised=lambda view: view - 0.5)
    method.decoder = Scaled()
    nn.init.zeros_(method.posterior.weight)
    mean, log_variance = 0.4, -1.2
    method.posterior.bias.data = torch.tensor([mean, log_variance])
    batch = small.make_batch(total=5)
    batch.normal = lambda *size: noise
    loss, statistics = method(batch)
    loss.backward()

    x, eps = target.double().flatten(1), noise.double()
    s, w, values = torch.tensor(log_variance / 2).double().exp(), 1.5, 3 * 4 * 4
    z = mean + s * eps
    p = (w * z).sigmoid()
    error = (p - x).sum(1, keepdim=True)
    kl = 0.5 * (s**2 + mean**2 - 1 - log_variance)
    reconstruction = -(x * p.log() + (1 - x) * (1 - p).log()).sum(1).mean()
    assert loss.item() == pytest.approx((reconstruction + 0.7 * kl).item() / values, abs=1e-6)
    assert statistics["kl"].item() == pytest.approx(kl.item(), abs=1e-6)
    assert statistics["reconstruction"].item() == pytest.approx(reconstruction.item() / values, abs=1e-6)
    by_hand = [(error * w).mean() + 0.7 * mean, (error * w * eps * s / 2).mean() + 0.7 * (s**2 - 1) / 2]
    assert method.posterior.bias.grad.tolist() == pytest.approx([value.item() / values for value in by_hand], abs=1e-6)
    assert method.decoder.weight.grad.item() == pytest.approx((error * z).mean().item() / values, abs=1e-6)


def test_targets_are_views_and_the_encoder_alone_sees_them_normalised(monkeypatch):
    method, seen = make_vae(augmentation={"crop_min": 0.5, "brightness": 0.8, "contrast": 0.8}), {}
    method.encoder.register_forward_pre_hook(lambda module, inputs: seen.update(encoded=inputs[0]))

    def spy(logits, target):
        seen["target"] = target
        return reconstruction_loss(logits, target)

    monkeypatch.setattr(vae, "reconstruction_loss", spy)
    batch, twin = small.make_batch(), small.make_batch()
    method(batch)
    view = method.augment.view(twin.images, twin.generator)
    assert torch.equal(seen["target"], view)
    assert view.min() >= 0 and view.max() <= 1 + 1e-6 and view.std() > 0.1
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (Normalise().mean, Normalise().std))
    torch.testing.assert_close(seen["encoded"], (view - mean) / std, atol=1e-5, rtol=1e-5)


def test_under_autocast_code_and_loss_are_float32(monkeypatch):
    method, seen = make_vae(), []
    monkeypatch.setattr(vae, "kl_divergence", lambda *parts: seen.extend(parts) or kl_divergence(*parts))
    monkeypatch.setattr(vae, "reconstruction_loss", lambda *parts: seen.extend(parts) or reconstruction_loss(*parts))
    exact, _ = method(small.make_batch())
    with torch.autocast("cpu", torch.bfloat16):
        loss, _ = method(small.make_batch())
    assert loss.dtype == torch.float32 and {part.dtype for part in seen} == {torch.float32}
    assert loss.item() == pytest.approx(exact.item(), rel=0.01)


def one_step(ranks, path):
    method = small.make_method("vae", ranks)
    wrapped = ranks.wrap(method)  # what averages the gradients, and has to live until they are there
    loss, statistics = wrapped(small.make_batch(ranks, total=7))
    loss.backward()
    statistics = {name: value.detach() for name, value in {"loss": loss, **statistics}.items()}
    return statistics, {name: parameter.grad for name, parameter in method.named_parameters()}


def test_a_step_on_two_ranks_is_the_step_on_one(tmp_path):
    """7 images, 4 of them on the first rank; batch normalisation in encoder and decoder spans both."""
    found = on_two_ranks(one_step, tmp_path)
    statistics, gradients = one_step(small.ONE, None)
    for name, value in statistics.items():
        mean = torch.stack([rank[0][name] for rank in found]).mean().item()
        assert mean == pytest.approx(value.item(), abs=1e-5, rel=1e-5)
    for name, gradient in gradients.items():
        assert gradient.abs().max() > 0
        for rank in found:
            torch.testing.assert_close(rank[1][name], gradient, atol=1e-5, rtol=1e-4)


def test_learns_more_of_a_batch_than_the_best_constant_image():
    """Of all images that ignore the code the mean has the least cross-entropy: the code must tell them apart."""
    method = make_vae(augmentation={"crop_min": 1.0}, weight_decay=0.0)
    method.augment = replace(method.augment, allowed=Invariance(hflip=False))
    target = method.augment.view(small.make_images(), torch.Generator()).clamp(0, 1)  # as torch's function wants it
    constant = target.mean(0).double()
    entropy = -(constant * constant.log() + (1 - constant) * (1 - constant).log()).mean().item()
    optimiser = build_optimiser(method.recipe, method.parameters(), small.ONE.device)
    for step in range(60):
        optimiser.param_groups[0]["lr"] = 1e-2
        optimiser.zero_grad()
        batch = replace(small.make_batch(), generator=torch.Generator().manual_seed(step))
        loss, statistics = method(batch)
        loss.backward()
        optimiser.step()
    floor = F.binary_cross_entropy(target, target).item()
    learnt = statistics["reconstruction"].item()
    assert floor < learnt < entropy - 0.2 * (entropy - floor)
    assert statistics["kl"] > 1


@pytest.mark.parametrize(("count", "size"), [(3, 24), (8, 40), (12, 32)])
def test_pictures_show_images_reconstructions_and_samples_and_change_nothing(count, size):
    method = make_vae()
    small.train(method, 2, lr=1e-3)
    method.eval()
    state, random_state = copy.deepcopy(method.state_dict()), torch.get_rng_state()
    images = small.make_images(count, size)
    with torch.inference_mode():
        pictures, again = method.pictures(images), method.pictures(images)
    shown = min(count, 8)
    assert pictures["reconstructions"].shape == (2 * shown, 3, 24, 24) and pictures["samples"].shape == (8, 3, 24, 24)
    for name, picture in pictures.items():
        assert picture.dtype == torch.float32 and picture.min() >= 0 and picture.max() <= 1
        assert torch.equal(picture, again[name])
    assert torch.equal(torch.get_rng_state(), random_state)
    assert all(torch.equal(value, state[name]) for name, value in method.state_dict().items())
    whole = images[:shown].permute(0, 3, 1, 2) / 255
    resized = F.interpolate(whole, size=(24, 24), mode="bilinear", antialias=True)
    torch.testing.assert_close(pictures["reconstructions"][:shown], resized, atol=1e-4, rtol=0)
    rebuilt, samples = pictures["reconstructions"][shown:], pictures["samples"]
    assert rebuilt.std(0).max() > 0 and samples.std(0).max() > 0


def test_a_method_loaded_halfway_goes_on_exactly():
    changes = {"optimiser": "sgd", "momentum": 0.0}  # no state of its own
    whole, first, second = (make_vae(**changes) for _ in range(3))
    expected = small.train(whole, 6, lr=0.05)
    assert small.train(first, 3, lr=0.05) == expected[:3]
    second.load_state_dict(copy.deepcopy(first.state_dict()))
    assert small.train(second, 3, lr=0.05, seed=3) == expected[3:]
    assert all(torch.equal(value, whole.state_dict()[name]) for name, value in second.state_dict().items())
