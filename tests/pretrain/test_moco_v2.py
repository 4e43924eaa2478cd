"""MoCo v2 against lightly's loss, update and queue, against itself on two ranks, and against counting."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from lightly.loss import NTXentLoss
from lightly.models.modules.memory_bank import MemoryBankModule
from lightly.models.utils import update_momentum
from tests.pretrain.small import BATCH, ONE, TRAIN_IMAGES, make_batch, make_method, train
from tests.train.test_ranks import on_two_ranks
from torch.nn import functional as F

from noisewise.errors import RunError
from noisewise.pretrain.moco_v2 import info_nce, queue_size
from noisewise.train.order import full_batches


def unit_rows(count, width, generator):
    return F.normalize(torch.randn(count, width, generator=generator), dim=1)


@pytest.mark.parametrize(("count", "size", "width", "temperature"), [(2, 3, 4, 0.2), (16, 64, 128, 0.07)])
def test_loss_and_gradient_agree_with_lightly_and_with_cross_entropy(count, size, width, temperature):
    generator = torch.Generator().manual_seed(count)
    queries = torch.randn(count, width, generator=generator, requires_grad=True)
    keys = unit_rows(count, width, generator)
    theirs = NTXentLoss(temperature=temperature, memory_bank_size=(size, width))
    queue = theirs.memory_bank.bank.clone()
    ours, _ = info_nce(queries, keys, queue, temperature)
    # With all keys of this batch and the queue as classes, and the other rows' keys struck out:
    unit = queries / queries.square().sum(1, keepdim=True).sqrt()
    logits = unit @ torch.cat([keys, queue]).T / temperature
    struck = torch.cat([~torch.eye(count, dtype=torch.bool), torch.zeros(count, size, dtype=torch.bool)], dim=1)
    by_hand = F.cross_entropy(logits.masked_fill(struck, -torch.inf), torch.arange(count))
    (gradient,) = torch.autograd.grad(ours, queries, retain_graph=True)
    for other in (theirs(queries, keys), by_hand):
        assert ours.item() == pytest.approx(other.item(), abs=1e-5)
        (others_gradient,) = torch.autograd.grad(other, queries, retain_graph=True)
        torch.testing.assert_close(gradient, others_gradient, atol=1e-5, rtol=1e-4)


def test_accuracy_is_the_share_of_queries_nearest_to_their_key():
    axes = torch.eye(3)
    queries = torch.stack([axes[0], axes[1], axes[2], axes[2]])
    keys = torch.stack([axes[0], axes[0], axes[2], axes[1]])  # found; a negative is nearer; found; all are as far
    assert info_nce(5 * queries, keys, axes[1:2], 0.2)[1].item() == 0.5


def test_where_all_are_alike_the_loss_is_chance_and_nothing_is_found():
    loss, accuracy = info_nce(torch.ones(4, 1), torch.ones(4, 1), torch.ones(9, 1), 0.2)
    assert loss.item() == pytest.approx(np.log(10), abs=1e-6)
    assert accuracy.item() == 0.0


@pytest.mark.parametrize(
    ("asked", "batch", "images", "size"),
    [
        ("auto", 256, 1_281_167, 65_536),  # ImageNet: the paper's own
        ("auto", 256, 131_072, 65_536),
        ("auto", 256, 131_071, 65_280),
        ("auto", 256, 7_000, 3_328),
        ("auto", 300, 1_281_167, 65_400),
        ("auto", 256, 512, 256),
        ("auto", 256, 300, 256),  # a batch, though it is more than half of the images
        (1024, 256, 7_000, 1024),
        (7_000, 250, 7_000, 7_000),
    ],
)
def test_queue_size(asked, batch, images, size):
    assert queue_size(asked, batch, images) == size


def test_a_queue_longer_than_the_data_is_refused_with_what_to_set():
    with pytest.raises(RunError, match="queue of 65536 keys is longer than the 7000 training images") as error:
        queue_size(65_536, 256, 7_000)
    assert error.value.kind == "config"
    assert "recipe.pretrain.moco_v2.queue to auto" in error.value.advice
    assert "multiple of 256 that is at most 7000" in error.value.advice


@pytest.mark.parametrize(("share", "met"), [(0.5, 1 / 8), (1.0, 1 / 2), (2.0, 1.0)])
def test_how_many_images_meet_their_own_key_in_the_queue(share, met):
    """The probabilities that `queue_size` is chosen by, counted over the orders that the loop goes through."""
    count, batch = 2000, 20
    order = np.concatenate([np.concatenate(full_batches(count, batch, 0, epoch)) for epoch in range(9)])
    uses = np.argsort(order, kind="stable").reshape(count, 9)  # of each image, at which place in all the epochs
    batches = uses // batch * batch  # what comes with the query is not in the queue
    own = batches[:, 1:] - batches[:, :-1] <= share * count
    assert own.mean() == pytest.approx(met, abs=0.01)


def test_the_key_network_follows_as_lightlys_does():
    method = make_method("moco_v2", key_momentum=0.9)
    slow = copy.deepcopy(torch.nn.ModuleList([method.key_encoder, method.key_projector]))
    fast = torch.nn.ModuleList([method.encoder, method.projector])
    key_norm = method.key_encoder.norm
    train(method, 1, lr=0.5)
    update_momentum(fast, slow, 0.9)
    ours = torch.nn.ModuleList([method.key_encoder, method.key_projector])
    for name, expected in slow.named_parameters():
        torch.testing.assert_close(ours.get_parameter(name), expected, atol=1e-7, rtol=1e-5)
        assert not torch.equal(expected, fast.get_parameter(name))  # or there was nothing to follow
    assert key_norm.num_batches_tracked == method.encoder.norm.num_batches_tracked == 1
    assert not torch.equal(key_norm.running_mean, method.encoder.norm.running_mean)  # each of its own view


def test_only_the_query_network_is_trained():
    method = make_method("moco_v2")
    expected = {*method.encoder.parameters(), *method.projector.parameters()}
    assert set(method.trained("all")) == expected


def test_the_queue_forgets_the_oldest_as_lightlys_does():
    """A queue of two batches, through one and a half rounds."""
    method, bank = make_method("moco_v2", queue=16), MemoryBankModule((16, 8), feature_dim_first=False)
    bank.bank.copy_(method.queue)
    torch.testing.assert_close(method.queue.norm(dim=1), torch.ones(16))
    for step in range(3):
        method(make_batch(seed=step))
        bank(method._new_keys[0], update=True)
        assert not torch.equal(method.queue, bank.bank)  # a step's own keys are no negatives of it
        method.after_step()
        torch.testing.assert_close(method.queue, bank.bank)
        torch.testing.assert_close(method.queue.norm(dim=1), torch.ones(16))


def test_keys_wrap_around_the_queues_end():
    method = make_method("moco_v2", queue=16)
    rows = torch.eye(8)
    for count in (6, 6, 6):
        method._enqueue(rows[:count])
    assert method.oldest == 18 - 16
    torch.testing.assert_close(method.queue, torch.cat([rows[4:6], rows[2:6], rows[:6], rows[:4]]))


def test_a_batch_in_parts_is_queued_whole_and_in_order():
    whole, parts = make_method("moco_v2", norm=False), make_method("moco_v2", norm=False)
    seen = []
    for seed in (1, 2):
        for method in (whole, parts):
            method(make_batch(total=4, seed=seed))
        seen.append(whole._new_keys[0])
        whole.after_step()
    parts.after_step()
    torch.testing.assert_close(parts.queue[:8], torch.cat(seen))
    torch.testing.assert_close(parts.queue, whole.queue)
    assert parts.oldest == whole.oldest == 8


def step_on(ranks, path, norm, total=BATCH):
    """One step's loss, gradients and queue; a query's gradient is the mean over ranks."""
    method = make_method("moco_v2", ranks=ranks, norm=norm)
    wrapped = ranks.wrap(method, method.global_norm)  # kept: without its wrapper's life no gradient is averaged
    loss, statistics = wrapped(make_batch(ranks, total))
    loss.backward()
    gradients = {name: value.grad for name, value in method.named_parameters() if value.grad is not None}
    method.after_step()
    return {"loss": loss.detach(), **statistics, "gradients": gradients, "queue": method.queue}


def several_steps(ranks, path):
    """Everything that is asked of two ranks, in one go."""
    return {
        "no norm": step_on(ranks, path, norm=False),
        "norm": step_on(ranks, path, norm=True),
        "two images a rank": step_on(ranks, path, norm=True, total=4),
    }


@pytest.fixture(scope="module")
def two_ranks(tmp_path_factory):
    return on_two_ranks(several_steps, tmp_path_factory.mktemp("ranks"))


def test_without_batch_normalisation_two_ranks_are_one(two_ranks):
    one = step_on(ONE, None, norm=False)
    found = [rank["no norm"] for rank in two_ranks]
    for name in ("loss", "accuracy"):
        assert torch.stack([rank[name] for rank in found]).mean().item() == pytest.approx(one[name].item(), abs=1e-5)
    for rank in found:
        torch.testing.assert_close(rank["queue"], one["queue"], atol=1e-6, rtol=1e-5)
        assert rank["gradients"].keys() == one["gradients"].keys()
        for name, gradient in one["gradients"].items():
            torch.testing.assert_close(rank["gradients"][name], gradient, atol=1e-5, rtol=1e-4)


def keys_by_hand(deal):
    """Keys of the global batch, computed in two halves of the images as `deal` lays them."""
    method, batch = make_method("moco_v2"), make_batch()
    _, views = (method.augment(batch.images, batch.generator) for _ in range(2))
    dealt = deal(batch.generator)
    keys = torch.empty(BATCH, 8)
    for half in dealt.chunk(2):
        keys[half] = F.normalize(method.key_projector(method.key_encoder(views[half])), dim=1).detach()
    return keys, dealt


def test_keys_are_normalised_among_images_dealt_out_anew(two_ranks):
    keys, dealt = keys_by_hand(lambda generator: torch.randperm(BATCH, generator=generator))
    undealt, _ = keys_by_hand(lambda _: torch.arange(BATCH))
    assert {row // 4 for row in dealt[:4].tolist()} == {0, 1}  # images of both ranks
    assert (keys - undealt).abs().max() > 1e-3
    for rank in two_ranks:
        torch.testing.assert_close(rank["norm"]["queue"][:BATCH], keys, atol=1e-6, rtol=1e-5)


def test_two_images_a_rank_are_enough(two_ranks):
    one = step_on(ONE, None, norm=True, total=2)
    for found in (one, *(rank["two images a rank"] for rank in two_ranks)):
        assert all(torch.isfinite(value).all() for value in (found["loss"], found["queue"]))
        assert all(torch.isfinite(gradient).all() for gradient in found["gradients"].values())


def test_a_resumed_training_is_the_training():
    """A state laid into a method of other weights goes on to the bit."""
    one, other = make_method("moco_v2", key_momentum=0.9), make_method("moco_v2", key_momentum=0.9)
    train(one, 3, lr=0.1)
    train(other, 1, lr=1.0, seed=50)
    other.load_state_dict(copy.deepcopy(one.state_dict()))
    assert train(one, 3, lr=0.1, seed=3) == train(other, 3, lr=0.1, seed=3)
    for name, value in one.state_dict().items():
        assert torch.equal(value, other.state_dict()[name]), name


def test_training_tells_a_batch_from_a_queue_of_other_images():
    method = make_method("moco_v2", queue=TRAIN_IMAGES, key_momentum=0.9)
    train(method, TRAIN_IMAGES // BATCH, lr=0.0, seed=100)
    others, records = method.queue.clone(), []
    for _ in range(30):
        records += train(method, 1, lr=0.2)
        method.queue.copy_(others)  # else the batch would be told from itself
    losses = [record["all_loss"] for record in records]
    assert np.isfinite(losses).all()
    assert losses[0] > 3 and losses[-1] < 0.5
    assert records[0]["accuracy"] < 0.5 and records[-1]["accuracy"] == 1.0
