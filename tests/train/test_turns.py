"""Several optimisers taking turns, and batches computed in parts."""

from __future__ import annotations

import copy

import pytest
import torch
from tests.train.test_loop import StopAfter, outcome, trained
from tests.train.test_ranks import on_two_ranks
from tests.train.toy import BATCH, COUNT, EPOCHS, Players, Toy, toy_loop

from noisewise.train.control import Control, Interrupted
from noisewise.train.method import Batch

STEPS = 4


class Still(Toy):
    """The toy without dropout, whose draws depend on the parts."""

    def train(self, mode=True):
        return super().train(False)


class Noiseless(Still):
    """And without noise, which is drawn for each part."""

    def forward(self, batch: Batch):
        pixels = batch.images.float().flatten(1) / 255
        return batch.mean((self.layer(pixels).squeeze(1) - pixels.mean(1)) ** 2), {"count": torch.tensor(batch.total)}


class Watched(Players):
    """Notes which parameters want gradients, and what the weights are, at each turn."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def forward(self, batch):
        wanted = {name.split(".")[0] for name, value in self.named_parameters() if value.requires_grad}
        self.seen.append((batch.turn, wanted, copy.deepcopy(self.state_dict())))
        return super().forward(batch)


def test_in_its_turn_a_player_moves_and_the_others_stand_still(tmp_path):
    loop, _ = toy_loop(tmp_path, Control(), make=Watched, weight_decay=0.1, momentum=0.9)
    loop.run()
    seen = loop.method.seen
    assert [turn for turn, _, _ in seen[:4]] == ["guesser", "mover", "guesser", "guesser"]
    assert len(seen) == EPOCHS * STEPS * 3
    assert all(wanted == {turn} for turn, wanted, _ in seen)
    for (turn, _, before), (_, _, after) in zip(seen, seen[1:], strict=False):
        moved = {name.split(".")[0] for name in before if not torch.equal(before[name], after[name])}
        assert moved == {turn} or seen.index((turn, _, before)) == 0 and not moved


def test_losses_of_turns_are_logged_apart_and_averaged(tmp_path):
    _, metrics = trained(tmp_path, make=Players)
    for line in metrics:
        assert line["mover_loss"] == pytest.approx(-line["mover_distance"])
        assert line["guesser_loss"] == pytest.approx(line["guesser_distance"])
        assert line["loss"] == pytest.approx((2 * line["guesser_loss"] + line["mover_loss"]) / 3)


@pytest.mark.parametrize("looks", [0, 1, 5, 9])
def test_players_resume_exactly(tmp_path, looks):
    options = {"make": Players, "momentum": 0.9}
    whole = trained(tmp_path / "whole", **options)
    loop, _ = toy_loop(tmp_path / "torn", StopAfter(looks), **options)
    with pytest.raises(Interrupted):
        loop.run()
    assert trained(tmp_path / "torn", **options) == whole


def players(ranks, path):
    loop, _ = toy_loop(f"{path}/runs", Control(), world=ranks.world, make=Players, momentum=0.9)
    loop.run()
    return dict(loop.method.state_dict())


def test_players_on_two_ranks_are_those_on_one(tmp_path):
    one, _ = trained(tmp_path / "one", make=Players, momentum=0.9)
    for found in on_two_ranks(players, tmp_path):
        for name, value in one.items():
            torch.testing.assert_close(found[name], torch.tensor(value), atol=1e-6, rtol=1e-5)


def test_a_batch_in_parts_gives_the_gradient_of_the_whole(tmp_path):
    """Batches of 8 and 7 images in three parts: the parts are unequal."""
    whole, lines = trained(tmp_path / "whole", make=Noiseless)
    parts, lines_of_parts = trained(tmp_path / "parts", make=Noiseless, accumulate=3)
    torch.testing.assert_close(torch.tensor(parts["layer.weight"]), torch.tensor(whole["layer.weight"]))
    assert [line["loss"] for line in lines_of_parts] == pytest.approx([line["loss"] for line in lines])
    assert lines[0]["count"] == pytest.approx(COUNT / STEPS, abs=0.1) and lines_of_parts[0]["count"] < BATCH / 2
    assert whole["steps"] == parts["steps"]


def in_parts(ranks, path):
    loop, _ = toy_loop(f"{path}/runs", Control(), world=ranks.world, make=Still, accumulate=2)
    loop.run()
    return dict(loop.method.state_dict())


def test_parts_on_two_ranks_are_those_on_one(tmp_path):
    one, _ = trained(tmp_path / "one", make=Still, accumulate=2)
    for found in on_two_ranks(in_parts, tmp_path):
        torch.testing.assert_close(found["layer.weight"], torch.tensor(one["layer.weight"]), atol=1e-6, rtol=1e-5)


def test_parts_resume_exactly(tmp_path):
    whole = trained(tmp_path / "whole", accumulate=2)
    loop, folder = toy_loop(tmp_path / "torn", StopAfter(5), accumulate=2)
    with pytest.raises(Interrupted):
        loop.run()
    assert folder.checkpoint.exists()
    loop, folder = toy_loop(tmp_path / "torn", Control(), accumulate=2)
    loop.run()
    assert outcome(loop, folder) == whole


def test_what_is_known_before_the_first_epoch_is_logged_once(tmp_path):
    loop, _ = toy_loop(tmp_path, StopAfter(1))
    loop.begin = lambda: {"knn_f1": 0.25}
    with pytest.raises(Interrupted):
        loop.run()
    loop, folder = toy_loop(tmp_path, Control())
    loop.begin = lambda: {"knn_f1": 0.5}
    place = loop.run()
    _, metrics = outcome(loop, folder)
    assert metrics[0] == place.history[0] == {"epoch": -1, "step": 0, "knn_f1": 0.25}
    assert [line["epoch"] for line in metrics] == [-1, *range(EPOCHS)]
