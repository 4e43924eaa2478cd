"""Means, pairs and verdicts, on numbers done by hand."""

from __future__ import annotations

import pytest
from made_up_runs import row
from scipy import stats

from noisewise.report.summary import (
    T95,
    Stat,
    cells_of,
    gain,
    main_effect,
    noise_groups,
    size_groups,
    stat,
    tasks_of,
    verdict,
)


def test_mean_and_sample_sd():
    assert stat([0.5, 0.7]) == Stat(pytest.approx(0.6), pytest.approx(0.02**0.5), 2)
    assert stat([0.5]) == Stat(0.5, None, 1)
    assert stat([]) is None


def test_only_done_runs_count():
    (cell,) = cells_of([row(seed=0, f1=0.5), row(seed=1, state="failed"), row(seed=2, state="waiting")])
    assert cell.by_seed("f1_best") == {0: 0.5}
    assert len(cell.rows) == 3


def test_gains_are_paired_by_seed():
    rows = [row(f1=0.5, seed=0), row(f1=0.6, seed=1), row("simclr", f1=0.8, seed=1), row("simclr", f1=0.9, seed=2)]
    random, simclr = cells_of(rows)
    assert gain(simclr, random) == Stat(pytest.approx(0.2), None, 1)
    assert gain(cells_of([row(seed=5)])[0], random) is None


def test_the_main_effect_is_averaged_within_a_seed_and_spread_over_seeds():
    scores = {  # init, method: F1 of seeds 0 and 1
        ("random", "cross_entropy"): (0.50, 0.52),
        ("random", "coteaching"): (0.54, 0.56),
        ("simclr", "cross_entropy"): (0.60, 0.58),
        ("simclr", "coteaching"): (0.60, 0.62),
    }
    rows = [row(*name, f1=f1, seed=seed) for name, both in scores.items() for seed, f1 in enumerate(both)]
    effect = main_effect(cells_of(rows), "init", "simclr", "random")
    # seed 0: (.10 + .06) / 2 = .08; seed 1: (.06 + .06) / 2 = .06
    assert (effect.mean, effect.sd, effect.n) == (pytest.approx(0.07), pytest.approx(0.02 / 2**0.5), 2)
    assert main_effect(cells_of(rows), "method", "coteaching", "cross_entropy").mean == pytest.approx(0.03)
    assert main_effect(cells_of(rows), "init", "simclr", "imagenet") is None


def test_verdicts():
    assert verdict(Stat(0.3, None, 1)) == "one seed only, so it may be chance"
    assert verdict(Stat(-0.02, 0.03, 5)) == "within seed noise"
    assert verdict(Stat(0.0, 0.0, 2)) == "within seed noise"
    assert verdict(Stat(0.5, 0.001, 2)) == "beyond the seeds' spread, but only 2 seeds"
    assert verdict(Stat(0.04, 0.03, 3)) == "beyond the seeds' spread, but only 3 seeds"
    assert verdict(Stat(-0.09, 0.03, 3)) == "clear of seed noise"
    assert verdict(Stat(0.04, 0.03, 40)) == "clear of seed noise"


def test_the_table_of_student_is_scipys():
    assert pytest.approx([stats.t.ppf(0.975, 2 + index) for index in range(len(T95))], abs=5e-4) == T95


def test_runs_of_one_seed_that_differ_elsewhere_are_noticed():
    (cell,) = cells_of([row(f1=0.5), row(f1=0.7, key="other")])
    assert cell.clash
    assert cell.stat("f1_best") == Stat(pytest.approx(0.6), None, 1)


def test_rates_are_in_order_and_no_noise_is_rate_nought_of_every_kind():
    rows = [row(rate=0.5), row(rate=0.2), row(rate=0.4, noise="pairflip"), row(rate=0.0, noise="none")]
    groups = noise_groups(tasks_of(cells_of(rows)))
    told = [[(task.noise, task.rate) for task in group] for group in groups]
    assert [("none", 0.0), ("symmetric", 0.2), ("symmetric", 0.5)] in told
    assert [("none", 0.0), ("pairflip", 0.4)] in told
    assert len(told) == 2


def test_given_labels_are_no_rate_of_anything():
    rows = [row(rate=0.5), row(rate=0.0, noise="given"), row(rate=0.0, noise="none")]
    told = [[task.noise for task in group] for group in noise_groups(tasks_of(cells_of(rows)))]
    assert sorted(told) == [["given"], ["none", "symmetric"]]
    only = [row(rate=0.0, noise="given"), row(rate=0.0, noise="none")]
    assert sorted(t.noise for group in noise_groups(tasks_of(cells_of(only))) for t in group) == ["given", "none"]


def test_no_noise_alone_is_a_group():
    (group,) = noise_groups(tasks_of(cells_of([row(rate=0.0, noise="none")])))
    assert [task.noise for task in group] == ["none"]


def test_recipes_are_compared_within_a_fraction_alone():
    rows = [row(f1=0.5), row(f1=0.3, fraction=0.1, key="other")]
    whole, tenth = cells_of(rows)
    assert (whole.task.fraction, tenth.task.fraction) == (1.0, 0.1)
    assert not whole.clash and not tenth.clash
    assert len(noise_groups(tasks_of([whole, tenth]))) == 2


def test_no_noise_belongs_to_the_rates_of_its_own_fraction():
    rows = [row(rate=0.5), row(rate=0.0, noise="none", fraction=0.1), row(rate=0.5, fraction=0.1)]
    groups = noise_groups(tasks_of(cells_of(rows)))
    assert [[(task.noise, task.fraction) for task in group] for group in groups] == [
        [("symmetric", 1.0)],
        [("none", 0.1), ("symmetric", 0.1)],
    ]


def test_sizes_of_one_task_are_in_order():
    rows = [row(fraction=fraction, rate=rate) for rate in (0.2, 0.5) for fraction in (1.0, 0.1, 0.3)]
    groups = size_groups(tasks_of(cells_of(rows)))
    assert [[(task.rate, task.fraction) for task in group] for group in groups] == [
        [(rate, fraction) for fraction in (0.1, 0.3, 1.0)] for rate in (0.2, 0.5)
    ]
