"""The loop: resuming exactly, stopping on request, and losses that go astray."""

from __future__ import annotations

import json

import pytest
import torch
from tests.train.toy import EPOCHS, TIMES, toy_images, toy_loop

from noisewise.errors import RunError
from noisewise.train.control import Control, Interrupted

STEPS = 4  # an epoch: 30 images in batches of at most 8


class StopAfter(Control):
    """Asks the run to stop at its n-th look."""

    def __init__(self, looks: int) -> None:
        super().__init__()
        self.looks = looks

    @property
    def asked(self) -> bool:
        self.looks -= 1
        return self.looks < 0


def trained(path, **options):
    """What an undisturbed loop leaves."""
    loop, folder = toy_loop(path, Control(), **options)
    loop.run()
    return outcome(loop, folder)


def outcome(loop, folder):
    """All that a run leaves, without times."""
    metrics = [json.loads(line) for line in folder.metrics.read_text().splitlines()]
    timeless = [{k: v for k, v in line.items() if k not in TIMES} for line in metrics]
    return {name: value.tolist() for name, value in loop.method.state_dict().items()}, timeless


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    loop, folder = toy_loop(tmp_path_factory.mktemp("undisturbed"), Control())
    loop.run()
    return outcome(loop, folder)


def test_an_undisturbed_run(undisturbed):
    weights, metrics = undisturbed
    assert weights["steps"] == [EPOCHS * STEPS]
    assert [line["epoch"] for line in metrics] == list(range(EPOCHS))
    assert metrics[-1]["loss"] < metrics[0]["loss"]
    assert [line["epochs_before"] for line in metrics] == [0, 1, 2]


@pytest.mark.parametrize("looks", range(EPOCHS * STEPS - 1))
def test_stopped_at_any_step_and_resumed_it_is_as_if_undisturbed(undisturbed, tmp_path, looks):
    loop, _ = toy_loop(tmp_path, StopAfter(looks))
    with pytest.raises(Interrupted):
        loop.run()
    loop, folder = toy_loop(tmp_path, Control())
    loop.run()
    assert outcome(loop, folder) == undisturbed


def test_stopped_again_and_again(undisturbed, tmp_path):
    for _ in range(EPOCHS * STEPS):
        loop, folder = toy_loop(tmp_path, StopAfter(0))
        try:
            loop.run()
        except Interrupted:
            continue
        break
    assert outcome(loop, folder) == undisturbed


def test_metrics_written_after_the_checkpoint_are_written_anew(undisturbed, tmp_path):
    loop, folder = toy_loop(tmp_path, StopAfter(STEPS + 1))
    with pytest.raises(Interrupted):
        loop.run()
    with open(folder.metrics, "a") as file:
        file.write('{"epoch": 1, "loss": 99}\n{"epoch": 2, "lo')
    loop, folder = toy_loop(tmp_path, Control())
    loop.run()
    assert outcome(loop, folder) == undisturbed


def test_a_loss_that_is_not_finite_is_a_classed_failure_and_saves_nothing_worse(tmp_path):
    loop, folder = toy_loop(tmp_path, Control(), lr=1e30)
    with pytest.raises(RunError, match="no longer finite in epoch 0") as error:
        loop.run()
    assert error.value.kind == "nan" and "lr" in error.value.advice
    assert not folder.checkpoint.exists()


def test_a_damaged_checkpoint_is_named(tmp_path):
    loop, folder = toy_loop(tmp_path, StopAfter(1))
    with pytest.raises(Interrupted):
        loop.run()
    folder.checkpoint.write_bytes(folder.checkpoint.read_bytes()[:500])
    loop, _ = toy_loop(tmp_path, Control())
    with pytest.raises(RunError, match=str(folder.checkpoint)) as error:
        loop.run()
    assert error.value.kind == "data"


def test_the_source_of_images_is_closed_when_a_step_fails(tmp_path):
    closed = []

    def images(steps):
        try:
            for rows in steps:
                yield toy_images()[rows].float()[:, :1]  # of the wrong shape
        finally:
            closed.append(True)

    loop, _ = toy_loop(tmp_path, Control())
    loop.images = images
    with pytest.raises(RuntimeError):
        loop.run()
    assert closed == [True]


def test_learning_rate_is_logged_and_warms_up(undisturbed):
    rates = [line["lr"] for line in undisturbed[1]]
    assert rates[0] < 0.1 and rates[-1] < rates[1]
    assert torch.tensor(rates).isfinite().all()
