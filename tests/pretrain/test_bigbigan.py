"""BigBiGAN: its losses by hand, whom each turn moves, two ranks against one, and resuming to the bit."""

from __future__ import annotations

import copy
import json
from functools import partial

import pytest
import torch
from tests.pretrain.small import BATCH, ONE, make_batch, make_images, make_method, train
from tests.train.test_ranks import on_two_ranks

from noisewise.pretrain.bigbigan import discriminator_loss, encoder_generator_loss
from noisewise.runs.config import Prepare, Pretrain
from noisewise.runs.folder import RunFolder, Settings
from noisewise.track import Tracker
from noisewise.train import loop as loops
from noisewise.train import order
from noisewise.train.control import Control, Interrupted
from noisewise.train.loop import Loop

COUNT = 2 * BATCH  # images: two steps an epoch


@pytest.mark.parametrize(
    ("scores", "y", "discriminator", "maker"),
    [
        ([0.0, 0.0, 0.0], +1, 3.0, 0.0),
        ([0.0, 0.0, 0.0], -1, 3.0, 0.0),
        ([2.0, 1.0, 1.5], +1, 0.0, 4.5),  # all beyond the margin
        ([2.0, 1.0, 1.5], -1, 3 + 2 + 2.5, -4.5),
        ([0.25, -3.0, 5.0], +1, 0.75 + 4, 2.25),
        ([0.25, -3.0, 5.0], -1, 1.25 + 6, -2.25),
    ],
)
def test_losses_by_hand(scores, y, discriminator, maker):
    pair = torch.tensor([scores, scores])
    assert discriminator_loss(pair, y).tolist() == pytest.approx([discriminator] * 2)
    assert encoder_generator_loss(pair, y).tolist() == pytest.approx([maker] * 2)


def test_hinge_is_torchs_hinge_embedding():
    """max(0, 1 + s) is torch's hinge embedding loss of a distance -s that should be large."""
    scores = torch.randn(50, 3, generator=torch.Generator().manual_seed(0)) * 2
    for y in (+1, -1):
        apart = torch.full_like(scores, -1)
        expected = torch.nn.functional.hinge_embedding_loss(y * scores, apart, reduction="none").sum(1)
        torch.testing.assert_close(discriminator_loss(scores, y), expected)


def test_each_side_wants_what_the_other_does_not():
    """Within the margin, what lowers the discriminator's loss raises that of encoder and generator, by as much."""
    scores = torch.full((4, 3), 0.2, requires_grad=True)
    for y in (+1, -1):
        (of_one,) = torch.autograd.grad(discriminator_loss(scores, y).sum(), scores)
        (of_other,) = torch.autograd.grad(encoder_generator_loss(scores, y).sum(), scores)
        assert torch.equal(of_one, torch.full((4, 3), -float(y)))
        assert torch.equal(of_other, -of_one)


def test_a_discriminator_left_alone_learns_to_tell_the_pairs_apart():
    method = make_method("bigbigan", optimiser="adam")
    method.turns = ("discriminator",)
    first, *_, last = train(method, 60, 2e-3)
    assert first["discriminator_loss"] > 5  # 6 where it cannot tell
    assert last["discriminator_loss"] < 3
    assert last["real_score"] > last["fake_score"] + 1


def test_encoder_and_generator_left_alone_deceive_it():
    method = make_method("bigbigan", optimiser="adam")
    train(method, 20, 2e-3)
    method.turns = ("encoder_generator",)
    losses = [record["encoder_generator_loss"] for record in train(method, 30, 2e-3)]
    assert losses[-1] < losses[0] - 1


def make_loop(path, ranks=ONE, control=None, **changes):
    """The training loop over the small method and 16 images."""
    method = make_method("bigbigan", ranks, **changes)
    run = Pretrain(Prepare("shapes"), "bigbigan", method.recipe)
    folder, settings = RunFolder.of(path, run), Settings(checkpoint_minutes=0)
    if ranks.first:
        folder.create(run, settings)
    pixels = make_images(COUNT)
    return Loop(
        method=method,
        recipe=method.recipe,
        seed=0,
        order=lambda epoch: [order.Step(rows, method.turns) for rows in order.full_batches(COUNT, BATCH, 0, epoch)],
        images=lambda steps: (pixels[rows] for rows in steps),
        end_epoch=lambda epoch, history: {},
        epoch_saved=lambda history: None,
        folder=folder,
        settings=settings,
        ranks=ranks,
        control=control or Control(),
        tracker=Tracker(folder, run, settings) if ranks.first else None,
    )


def test_each_turn_moves_its_own_weights_and_no_others(tmp_path):
    loop = make_loop(tmp_path)
    method = loop.method
    of_discriminator = {f"discriminator.{name}" for name, _ in method.discriminator.named_parameters()}
    everything = {name for name, _ in method.named_parameters()}
    assert sum(len(method.trained(turn)) for turn in set(method.turns)) == len(everything)
    assert method.turns == ("discriminator", "discriminator", "encoder_generator")
    method.train()
    for turn in method.turns:
        before = {name: value.detach().clone() for name, value in method.named_parameters()}
        optimiser = loop._take_turn(turn, 1e-2)
        loss, _ = method(make_batch(turn=turn))
        loss.backward()
        optimiser.step()
        with_gradient = {name for name, value in method.named_parameters() if value.grad is not None}
        moved = {name for name, value in method.named_parameters() if not torch.equal(value, before[name])}
        mine = of_discriminator if turn == "discriminator" else everything - of_discriminator
        assert moved <= with_gradient == mine
        unmoved = mine - moved  # a convolution's bias before a batch normalisation can do nothing
        assert len(moved) > 0.8 * len(mine), unmoved


def turns_gradients(ranks, path):
    """The loss and the gradients of one turn after the other, without a step between, as the loop computes them."""
    loop = make_loop(path, ranks)
    loop.method.train()
    found = {}
    for number, turn in enumerate([*loop.method.turns, "discriminator", "encoder_generator"]):
        loop._take_turn(turn, 0.0)
        loss, statistics = loop.step_method(make_batch(ranks, seed=number, turn=turn))
        loss.backward()
        values = {"loss": loss.detach(), **statistics}
        # A mean over ranks of what each has its share of
        found |= {f"{number}.{name}": ranks.sum(value.clone()) / ranks.world for name, value in values.items()}
        gradients = {name: value.grad for name, value in loop.method.named_parameters()}
        found |= {f"{number}.{name}": value.clone() for name, value in gradients.items() if value is not None}
    return {**found, **{name: value.clone() for name, value in loop.method.named_buffers()}}


def test_turns_on_two_ranks_are_the_turns_on_one(tmp_path):
    (tmp_path / "one").mkdir()
    first, second = on_two_ranks(turns_gradients, tmp_path)
    one = turns_gradients(ONE, tmp_path / "one")
    assert first.keys() == second.keys() == one.keys()
    for name, expected in one.items():
        assert torch.equal(first[name], second[name]), name
        torch.testing.assert_close(first[name], expected, atol=1e-4, rtol=1e-4, msg=name)


def whole_run(ranks, path, **changes):
    loop = make_loop(path, ranks, optimiser="sgd", lr=1e-3, momentum=0.0, **changes)
    place = loop.run()
    skipped = ("epoch", "step", "lr")
    history = {
        f"{record['epoch']}.{name}": torch.tensor(value)
        for record in place.history
        for name, value in record.items()
        if name not in skipped
    }
    return {**history, **loop.method.state_dict()}


@pytest.mark.parametrize("accumulate", [1, 2])
def test_a_training_on_two_ranks_is_the_training_on_one(tmp_path, accumulate):
    """Spectral normalisation's vectors are not broadcast: every rank comes to the same ones."""
    (tmp_path / "one").mkdir()
    first, second = on_two_ranks(partial(whole_run, accumulate=accumulate), tmp_path)
    one = whole_run(ONE, tmp_path / "one", accumulate=accumulate)
    assert first.keys() == second.keys() == one.keys()
    assert {"0.discriminator_loss", "0.encoder_generator_loss", "0.real_score", "0.fake_score"} <= one.keys()
    for name, expected in one.items():
        assert torch.equal(first[name], second[name]), name
        torch.testing.assert_close(
            first[name], expected, atol=1e-4, rtol=1e-3, msg=lambda text, name=name: f"{name}: {text}"
        )


class StopAt(Control):
    """Asks to stop at its n-th look."""

    def __init__(self, looks):
        super().__init__()
        self.looks = looks

    @property
    def asked(self):
        self.looks -= 1
        return self.looks < 0


def test_a_run_resumed_after_every_step_is_the_run_left_alone(tmp_path, monkeypatch):
    monkeypatch.setattr(loops, "AGREE_EVERY", 1)
    whole = make_loop(tmp_path / "whole")
    place = whole.run()
    times = 0
    while True:
        torn = make_loop(tmp_path / "torn", control=StopAt(0))
        try:
            torn_place = torn.run()
            break
        except Interrupted:
            times += 1
    assert times == 3
    assert torn_place.history == place.history
    for (name, value), other in zip(whole.method.state_dict().items(), torn.method.state_dict().values(), strict=True):
        assert torch.equal(value, other), name
    states = [json.dumps(loop.optimisers["discriminator"].state_dict(), default=str) for loop in (whole, torn)]
    assert states[0] == states[1]


def test_two_images_are_enough():
    method = make_method("bigbigan").train()
    for turn in method.turns:
        loss, _ = method(make_batch(total=2, turn=turn))
        loss.backward()
        assert loss.isfinite()
    assert all(value.grad is None or value.grad.isfinite().all() for value in method.parameters())


def test_real_pairs_are_the_encoders_and_fake_ones_the_generators():
    """Discriminators that know the answer: the loss is nothing where images tell, and the most where they lie."""
    method = make_method("bigbigan", discriminator_steps=1).train()
    seen = []

    def knows(*pairs):
        seen.extend(pairs)
        return [torch.full((len(images), 3), side) for (images, _), side in zip(pairs, (2.0, -2.0), strict=True)]

    method.discriminator.forward = knows
    batch = make_batch(turn="discriminator")
    loss, statistics = method(batch)
    assert loss.item() == 0 and statistics["real_score"] == 2 and statistics["fake_score"] == -2
    assert method(make_batch(turn="encoder_generator"))[0].item() == 12
    (real, encoded), (fake, latents) = seen[:2]
    view = method.augment.view(batch.images, torch.Generator().manual_seed(0), batch.rows, batch.total)
    torch.testing.assert_close(real, 2 * view - 1)
    torch.testing.assert_close(fake, method.generator(latents))
    mean, deviation = method.encode(view)
    assert (deviation > 0).all()
    noise = (encoded - mean) / deviation
    assert noise.std().item() == pytest.approx(1, abs=0.3) and not torch.allclose(noise, latents)


def test_pictures_change_nothing_and_are_always_of_the_same_latents():
    method = make_method("bigbigan")
    train(method, 2, 1e-3)
    method.eval()
    before, random = copy.deepcopy(method.state_dict()), torch.get_rng_state()
    images = make_images(4, size=40)
    with torch.no_grad():
        pictures = method.pictures(images)
    assert torch.equal(torch.get_rng_state(), random)
    assert all(torch.equal(value, before[name]) for name, value in method.state_dict().items())
    assert pictures["samples"].shape == (16, 3, 24, 24) and pictures["reconstructions"].shape == (8, 3, 24, 24)
    for picture in pictures.values():
        assert picture.dtype == torch.float32 and picture.min() >= 0 and picture.max() <= 1
    torch.manual_seed(1)
    with torch.no_grad():
        again = method.pictures(images)
    assert all(torch.equal(picture, again[name]) for name, picture in pictures.items())
    means = images.float().div(255).mean((1, 2))
    torch.testing.assert_close(pictures["reconstructions"][:4].mean((2, 3)), means, atol=0.02, rtol=0)
