"""DivideMix against cases worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from tests.finetune.small import table_batch, table_method
from torch.distributions import Categorical, kl_divergence
from torch.nn import functional as F

from noisewise.errors import RunError
from noisewise.finetune import dividemix

SURE, UNSURE = [6.0, 0.0], [0.0, 6.0]


def test_co_refinement_keeps_the_label_as_far_as_it_is_clean():
    """Equation 3: .75 (0, 1) + .25 (.8, .2) = (.2, .8); and both ends."""
    predicted = torch.tensor([[0.8, 0.2]] * 3)
    found = dividemix.co_refine(torch.tensor([1, 1, 1]), torch.tensor([0.75, 1.0, 0.0]), predicted)
    torch.testing.assert_close(found, torch.tensor([[0.2, 0.8], [0.0, 1.0], [0.8, 0.2]]))


def test_sharpening_with_a_half_squares():
    """(.6, .3, .1) to (.36, .09, .01) / .46; nothing becomes something; T = 1 changes nothing."""
    given = torch.tensor([[0.6, 0.3, 0.1], [1.0, 0.0, 0.0]])
    torch.testing.assert_close(
        dividemix.sharpen(given, 0.5), torch.tensor([[0.36 / 0.46, 0.09 / 0.46, 0.01 / 0.46], [1, 0, 0]])
    )
    torch.testing.assert_close(dividemix.sharpen(given, 1.0), given)


@pytest.mark.parametrize("alpha", [0.5, 4.0])
def test_mixing_shares_are_the_larger_halves_of_their_distribution(alpha):
    generator = torch.Generator().manual_seed(0)
    shares = np.array([dividemix.mixing_share(alpha, generator) for _ in range(2000)])
    drawn = np.random.default_rng(0).beta(alpha, alpha, 100_000)
    assert shares.min() >= 0.5 and shares.max() <= 1
    assert shares.mean() == pytest.approx(np.maximum(drawn, 1 - drawn).mean(), abs=0.01)


@pytest.mark.parametrize(("epoch", "weight"), [(3, 0), (10, 0), (14, 6.25), (18.0, 12.5), (26, 25), (90, 25)])
def test_the_unlabelled_loss_comes_in_over_16_epochs(epoch, weight):
    assert dividemix.unlabelled_weight(epoch, after=10, ramp_epochs=16, lambda_u=25) == pytest.approx(weight)


def test_without_a_ramp_the_unlabelled_loss_counts_at_once():
    assert dividemix.unlabelled_weight(0.1, after=1, ramp_epochs=0, lambda_u=25) == 25


def test_the_confidence_penalty_is_the_negative_entropy():
    logits = torch.randn(5, 4, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(dividemix.negative_entropy(logits), -Categorical(logits=logits).entropy())
    assert dividemix.negative_entropy(torch.tensor([[1e4, 0.0]])).item() == 0


def test_the_regulariser_is_the_divergence_from_uniform():
    mean = torch.tensor([0.7, 0.2, 0.1])
    wanted = kl_divergence(Categorical(torch.ones(3)), Categorical(mean))
    torch.testing.assert_close(dividemix.away_from_uniform(mean.log()), wanted)
    assert dividemix.away_from_uniform(torch.full((3,), -math.log(3))).item() == pytest.approx(0, abs=1e-6)


def made(tables=None, labels=None, count=8, **recipe):
    """A method past its cross-entropy, over tables of eight images and two classes; all labels 0 unless given."""
    tables = tables or [torch.zeros(count, 2), torch.zeros(count, 2)]
    labels = torch.zeros(count, dtype=torch.int64) if labels is None else labels
    return table_method("dividemix", tables, labels, cross_entropy_epochs=1, **recipe)


def test_each_network_learns_from_what_the_other_takes_for_clean():
    """The first network is sure of samples 0 to 3, the second of 4 to 7."""
    first, second = torch.tensor([SURE] * 4 + [UNSURE] * 4), torch.tensor([UNSURE] * 4 + [SURE] * 4)
    method = made([first, second], batch=4)
    looks = []
    method.begin_epoch(0, looks.append)
    assert not looks and (method.clean == 1).all()
    method.begin_epoch(1, lambda network: network.logits.detach())
    assert (method.clean > 0.5).tolist() == [[False] * 4 + [True] * 4, [True] * 4 + [False] * 4]
    steps = method.order(1, seed=0)
    assert [step.turns for step in steps] == [["first"]] * 2 + [["second"]] * 2
    for step, labelled in zip(steps, (range(4, 8), range(4, 8), range(4), range(4)), strict=True):
        assert [row in labelled for row in step.rows] == [True, False, True, False]
    assert sorted(np.concatenate([step.rows for step in steps[:2]])) == list(range(8))


def test_before_there_is_a_split_both_learn_the_labels_from_the_same_batches():
    method = made(batch=4)
    steps = method.order(0, seed=0)
    assert [step.turns for step in steps] == [("first", "second")] * 2
    loss, statistics = method(table_batch([0, 1], turn="second"))
    loss.backward()
    assert loss.item() == pytest.approx(math.log(2)) and not statistics
    assert method.first.logits.grad is None and method.second.logits.grad is not None


@pytest.mark.parametrize(
    ("asked", "kind", "penalised"),
    [
        ("auto", "symmetric", False),
        ("auto", "none", False),
        ("auto", "class_dependent", True),
        ("auto", "given", True),
        ("always", "symmetric", True),
        ("never", "class_dependent", False),
    ],
)
def test_the_confidence_penalty_is_for_noise_with_a_direction(asked, kind, penalised):
    method = made([torch.tensor([[2.0, 0.0]] * 2)] * 2, count=2, confidence_penalty=asked, kind=kind)
    loss, _ = method(table_batch([0, 1], turn="first"))
    plain = F.cross_entropy(torch.tensor([[2.0, 0.0]]), torch.tensor([0])).item()
    entropy = Categorical(logits=torch.tensor([2.0, 0.0])).entropy().item()
    assert loss.item() == pytest.approx(plain - entropy * penalised, abs=1e-6)


def test_a_step_by_hand(monkeypatch):
    """Sample 0 is labelled 0 and clean with .8, sample 1 is not; halves of each view's own are mixed with the next."""
    monkeypatch.setattr(dividemix, "mixing_share", lambda *_: 1.0)
    first, second = torch.tensor([[0.0, 0.0], [1.0, 0.0]]), torch.tensor([[5.0, 0.0], [3.0, 0.0]])
    method = made([first, second], torch.tensor([1, 1]), count=2, lambda_u=2.0, ramp_epochs=0, temperature=0.5)
    method.clean[0] = torch.tensor([0.8, 0.1])
    loss, statistics = method(table_batch([0, 1], epoch=1.5, turn="first"))
    refined = np.array([0.2 * 0.5, 0.8 + 0.2 * 0.5]) ** 2  # the learner alone predicts
    guessed = ((first[1].softmax(0) + second[1].softmax(0)) / 2).numpy() ** 2  # both do
    refined, guessed = refined / refined.sum(), guessed / guessed.sum()
    p = first.softmax(1).numpy()
    labelled, unlabelled = -(refined * np.log(p[0])).sum(), ((guessed - p[1]) ** 2).mean()
    mean = p.mean(0)
    wanted = labelled + 2 * unlabelled + (0.5 * np.log(0.5 / mean)).sum()
    assert loss.item() == pytest.approx(wanted, abs=1e-5)
    assert statistics["labelled_loss"].item() == pytest.approx(labelled, abs=1e-5)
    assert statistics["unlabelled_loss"].item() == pytest.approx(unlabelled, abs=1e-5)
    assert statistics["labelled_share"].item() == 0.5


def test_mixtures_are_of_views_and_of_their_targets_alike(monkeypatch):
    monkeypatch.setattr(dividemix, "mixing_share", lambda *_: 0.75)
    method, batch = made(count=4), table_batch([0, 1, 2, 3], epoch=1.5, turn="first")
    clean = torch.tensor([0.9, 0.1, 0.9, 0.1])
    views = [method.augment(batch.images), 10 + method.augment(batch.images)]
    values, targets = torch.tensor([0.0, 1, 2, 3, 10, 11, 12, 13]), F.one_hot(torch.arange(4)).float()
    mixed, wanted, labelled, counts = method._mix(views, targets, clean, batch)
    order = torch.randperm(8, generator=torch.Generator().manual_seed(torch.Generator().initial_seed()))
    torch.testing.assert_close(mixed[:, 0, 0, 0], 0.75 * values + 0.25 * values[order])
    torch.testing.assert_close(wanted, 0.75 * targets.repeat(2, 1) + 0.25 * targets.repeat(2, 1)[order])
    assert labelled.tolist() == [True, False] * 4 and counts.tolist() == [4, 4]


def test_without_a_weight_the_unlabelled_are_mixed_in_only(monkeypatch):
    seen = []
    method = made(count=4, lambda_u=0.0)
    method.clean[0] = torch.tensor([0.9, 0.1, 0.1, 0.1])
    method.first.register_forward_hook(lambda _, inputs, __: seen.append(len(inputs[0])))
    _, statistics = method(table_batch([0, 1, 2, 3], epoch=1.5, turn="first"))
    assert seen == [4, 4, 2] and statistics["unlabelled_loss"].item() == 0


@pytest.mark.parametrize(
    ("clean", "lambda_u"),
    [([0.9] * 4, 0.0), ([0.9] * 4, 25.0), ([0.9, 0.1, 0.1, 0.1], 0.0), ([0.9, 0.1, 0.1, 0.1], 25.0), ([0.1] * 4, 25.0)],
)
def test_none_unlabelled_few_labelled_ones_of_one_class_or_none_have_finite_gradients(clean, lambda_u):
    method = made([torch.tensor([SURE] * 4), torch.tensor([UNSURE] * 4)], count=4, lambda_u=lambda_u)
    method.clean[1] = torch.tensor(clean)
    loss, _ = method(table_batch([0, 1, 2, 3], epoch=5.0, turn="second"))
    loss.backward()
    assert loss.isfinite() and method.second.logits.grad.isfinite().all()


def test_a_class_out_of_the_question_leaves_the_regulariser_finite():
    method = made([torch.tensor([[500.0, 0.0]] * 2)] * 2, count=2)
    loss, _ = method(table_batch([0, 1], epoch=5.0, turn="first"))
    loss.backward()
    assert loss.isfinite() and method.first.logits.grad.isfinite().all()


@pytest.mark.parametrize("tables", ["alike", "one clean"])
def test_where_no_split_can_be_made_all_labels_are_believed(tables):
    logits = torch.zeros(8, 2)
    if tables == "one clean":  # too few for a batch: normalisation needs two images
        logits = torch.tensor([SURE] + [UNSURE] * 7)
    method = made([logits, logits], batch=4)
    method.begin_epoch(1, lambda network: network.logits.detach())
    assert (method.clean == 1).all()
    steps = method.order(1, seed=0)
    assert [len(step.rows) for step in steps] == [2] * 8
    assert sorted(np.concatenate([step.rows for step in steps[:4]])) == list(range(8))


def test_a_rare_class_and_two_classes_are_split_without_an_error():
    labels = torch.tensor([0] * 39 + [1])
    logits = torch.randn(40, 2, generator=torch.Generator().manual_seed(0))
    method = made([logits, -logits], labels, batch=8)
    method.begin_epoch(1, lambda network: network.logits.detach())
    for step in method.order(1, seed=0):
        loss, _ = method(table_batch(step.rows.tolist(), epoch=1.5, turn=step.turns[0]))
        assert loss.isfinite()


def test_logits_that_are_no_numbers_end_the_run():
    method = made([torch.full((8, 2), torch.nan), torch.zeros(8, 2)])
    with pytest.raises(RunError, match="not finite") as error:
        method.begin_epoch(1, lambda network: network.logits.detach())
    assert error.value.kind == "nan"


def test_what_the_networks_think_of_the_labels_is_saved():
    method, other = made(), made()
    method.clean[0, 3] = 0.25
    other.load_state_dict(method.state_dict())
    assert torch.equal(other.clean, method.clean)
