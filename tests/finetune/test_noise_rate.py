"""What a method takes for the noise rate."""

from __future__ import annotations

import pytest
import torch
from tests.finetune.small import table_batch, table_method

from noisewise.errors import RunError
from noisewise.finetune.noise_rate import estimated_rate, told_rate


def test_the_rate_is_the_share_of_the_upper_heap():
    """Two networks give the label .9 or .98 where it is right, .02 where it is wrong: 30 of 100 times."""
    sure = torch.tensor([0.9] * 70 + [0.02] * 30)
    surer = torch.tensor([0.98] * 70 + [0.02] * 30)
    logits = [torch.stack([share, 1 - share], 1).log() for share in (sure, surer)]
    assert estimated_rate(logits, torch.zeros(100, dtype=torch.int64)) == pytest.approx(0.3, abs=1e-3)


def test_an_impossible_label_counts_as_wrong():
    logits = torch.tensor([[0.0, -1e9]] * 3)
    assert estimated_rate([logits], torch.tensor([0, 0, 1])) == pytest.approx(1 / 3, abs=1e-3)


def test_logits_that_are_no_numbers_end_the_run():
    with pytest.raises(RunError, match="not finite") as error:
        estimated_rate([torch.tensor([[0.0, torch.nan]])], torch.tensor([0]))
    assert error.value.kind == "nan"


@pytest.mark.parametrize("name", ["coteaching", "jocor"])
def test_an_estimate_is_taken_anew_in_each_epoch_of_the_ramp_and_kept_after_it(name):
    """Labels are all 0; what the networks say of four images changes from epoch to epoch."""
    tables = [torch.zeros(4, 2), torch.zeros(4, 2)]
    method = table_method(name, tables, torch.zeros(4, dtype=torch.int64), assume_rate="estimated", ramp_epochs=2)
    rates, shares = [], []
    for epoch, wrong in enumerate((4, 2, 1, 3)):
        said = torch.tensor([[0.0, 1.0]] * wrong + [[1.0, 0.0]] * (4 - wrong))
        method.begin_epoch(epoch, lambda network, said=said: said)
        _, statistics = method(table_batch([0, 1, 2, 3], epoch=epoch + 0.5))
        rates.append(method.rate)
        shares.append(statistics["keep_share"].item())
    assert rates == pytest.approx([0.0, 0.5, 0.25, 0.25], abs=1e-3)
    assert shares == pytest.approx([1.0, 0.75, 0.75, 0.75], abs=1e-3)
    assert method.findings() == {"assume_rate": "estimated", "assumed_rate": rates[-1]}
    assert method.state_dict()["estimate"].item() == rates[-1]


@pytest.mark.parametrize(("assume_rate", "rate"), [("known", 0.5), (0.2, 0.2)])
def test_a_method_that_is_told_does_not_look(assume_rate, rate):
    tables = [torch.zeros(4, 2), torch.zeros(4, 2)]
    method = table_method("coteaching", tables, torch.zeros(4, dtype=torch.int64), assume_rate=assume_rate)
    method.begin_epoch(3, None)
    assert method.findings() == {"assume_rate": assume_rate, "assumed_rate": rate}


def test_what_is_told():
    assert told_rate("known", 0.4) == 0.4
    assert told_rate(0.2, 0.4) == 0.2
    assert told_rate("estimated", 0.4) is None
    for wrong in ("estimate", 1.0, -0.1, float("nan")):
        with pytest.raises(RunError, match="assume_rate") as error:
            told_rate(wrong, 0.4)
        assert error.value.kind == "config" and "estimated" in error.value.advice
