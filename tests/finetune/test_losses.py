"""The methods that are a loss, or a loss and a memory, against their papers' formulas in other words."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tests.finetune.small import table_batch, table_method
from torch.distributions import Categorical, kl_divergence
from torch.nn import functional as F

from noisewise.finetune.gce import generalised_cross_entropy
from noisewise.finetune.jocor import joint_losses
from noisewise.runs.methods import FINETUNE, exists

METHODS = [name for name in FINETUNE if exists("finetune", name)]


def draw(count: int = 6, classes: int = 3, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return 2 * torch.randn(count, classes, generator=generator), torch.randint(classes, (count,), generator=generator)


@pytest.mark.parametrize("q", [0.1, 0.7, 1.0])
def test_generalised_cross_entropy_is_its_formula(q):
    logits, labels = draw()
    p = np.exp(logits.double().numpy())
    p = (p / p.sum(1, keepdims=True))[np.arange(6), labels.numpy()]
    np.testing.assert_allclose(generalised_cross_entropy(logits, labels, q).numpy(), (1 - p**q) / q, atol=1e-6)


def test_generalised_cross_entropy_has_cross_entropy_and_absolute_error_as_limits():
    logits, labels = draw()
    cross_entropy = F.cross_entropy(logits, labels, reduction="none")
    torch.testing.assert_close(generalised_cross_entropy(logits, labels, 1e-3), cross_entropy, atol=2e-2, rtol=1e-2)
    absolute = (logits.softmax(1) - F.one_hot(labels, 3)).abs().sum(1)
    torch.testing.assert_close(generalised_cross_entropy(logits, labels, 1.0), absolute / 2)


def test_generalised_cross_entropy_of_a_label_out_of_the_question_is_finite():
    logits = torch.tensor([[0.0, 1e4]], requires_grad=True)
    generalised_cross_entropy(logits, torch.tensor([0]), 0.7).sum().backward()
    assert logits.grad.isfinite().all()


def test_label_smoothing_counts_for_all_classes():
    logits, labels = draw()
    loss, _ = table_method("label_smoothing", [logits], labels, smoothing=0.3)(table_batch(list(range(6))))
    wanted = 0.7 * F.one_hot(labels, 3) + 0.3 / 3
    torch.testing.assert_close(loss, -(wanted * logits.log_softmax(1)).sum(1).mean())


def test_elr_step_by_step():
    """Three epochs in which only some rows come up; the targets of the others stay."""
    logits, labels = draw()
    method = table_method("elr", [logits], labels, strength=2.0, target_momentum=0.6)
    targets = np.zeros((6, 3))
    p = logits.double().softmax(1).numpy()
    for rows in ([0, 2, 3], [3, 1], [0, 3, 5]):
        targets[rows] = 0.6 * targets[rows] + 0.4 * p[rows]
        agreement = (p[rows] * targets[rows]).sum(1)
        wanted = -np.log(p[rows, labels.numpy()[rows]]) + 2 * np.log(1 - agreement)
        loss, statistics = method(table_batch(rows))
        assert loss.item() == pytest.approx(wanted.mean(), abs=1e-5)
        assert statistics["agreement"].item() == pytest.approx(agreement.mean(), abs=1e-5)
    np.testing.assert_allclose(method.targets.numpy(), targets, atol=1e-6)
    assert not method.targets[4].any()


def test_elrs_gradient_takes_the_target_as_it_is():
    """Lemma 1: of the logits of a sample, p - y + lambda g, g_k = p_k / (1 - <p, t>) * sum_j (t_j - t_k) p_j."""
    logits, labels = draw()
    method = table_method("elr", [logits], labels, strength=3.0)
    loss, _ = method(table_batch(list(range(6))))
    loss.backward()
    p, t = logits.softmax(1), method.targets
    agreement = (p * t).sum(1, keepdim=True)
    wanted = p - F.one_hot(labels, 3) + 3 * p / (1 - agreement) * (agreement - t)
    torch.testing.assert_close(method.network.logits.grad, wanted / 6, atol=1e-5, rtol=1e-3)


def test_elr_pulls_a_wrong_label_back_to_what_was_said_before():
    """A sample that was seen as class 0 and is labelled 1: its gradient turns back to 0."""
    logits, labels = torch.tensor([[3.0, 0.0]]), torch.tensor([1])
    pulls = []
    for strength in (0.0, 3.0):
        method = table_method("elr", [logits], labels, strength=strength)
        for _ in range(30):
            method.zero_grad()
            loss, _ = method(table_batch([0]))
        loss.backward()
        pulls.append(method.network.logits.grad[0, 0].item())
    assert pulls[0] > 0.9 and pulls[1] < 0  # what is above nought is lowered


def test_jocors_losses_are_its_equations():
    (first, labels), (second, _) = draw(seed=1), draw(seed=2)
    one, two = Categorical(logits=first), Categorical(logits=second)
    labelled = -one.log_prob(labels) - two.log_prob(labels)
    apart = kl_divergence(one, two) + kl_divergence(two, one)
    torch.testing.assert_close(joint_losses(first, second, labels, 0.85), 0.15 * labelled + 0.85 * apart)


def test_jocor_learns_from_those_that_both_agree_on():
    """Labels are all 0: both networks say so of samples 0 and 1, and of 2 and 3 one does and the other does not."""
    sure, unsure = [5.0, 0.0], [0.0, 5.0]
    tables = [torch.tensor([sure, sure, unsure, sure]), torch.tensor([sure, sure, sure, unsure])]
    method = table_method("jocor", tables, torch.zeros(4, dtype=torch.int64), rate=0.5, ramp_epochs=0)
    loss, statistics = method(table_batch([0, 1, 2, 3]))
    loss.backward()
    for network in (method.first, method.second):
        assert (network.logits.grad.abs().sum(1) > 0).tolist() == [True, True, False, False]
    certain = F.cross_entropy(torch.tensor([sure]), torch.tensor([0])).item()
    assert loss.item() == pytest.approx(0.1 * 2 * certain, rel=1e-4)
    assert statistics["keep_share"].item() == pytest.approx(0.5)


@pytest.mark.parametrize("name", METHODS)
def test_two_classes_and_a_batch_of_one_label(name):
    logits = torch.randn(4, 2, generator=torch.Generator().manual_seed(0))
    method = table_method(name, [logits, -logits], torch.ones(4, dtype=torch.int64))
    for turn in method.turns:
        loss, statistics = method(table_batch([3, 1, 0], turn=turn))
        loss.backward()
        assert loss.isfinite() and all(value.isfinite() for value in statistics.values())
    assert all(parameter.grad.isfinite().all() for parameter in method.parameters())


@pytest.mark.parametrize("name", METHODS)
def test_predictions_are_probabilities(name):
    logits, labels = draw()
    found = table_method(name, [logits, 2 * logits], labels).predict(torch.arange(6.0)[:, None, None, None])
    torch.testing.assert_close(found.sum(1), torch.ones(6))
    assert (found.argmax(1) == logits.argmax(1)).all()
