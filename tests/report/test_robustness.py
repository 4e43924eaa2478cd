"""How F1 falls with noise, by hand and against NumPy; datasets ranked by it, or what is missing for that."""

from __future__ import annotations

import numpy as np
import pytest
from made_up_runs import row

from noisewise.report import difficulty
from noisewise.report.difficulty import rank, told
from noisewise.report.robustness import HEADER, robustness, robustness_lines
from noisewise.report.scatter import robustness_vs_difficulty
from noisewise.report.summary import cells_of

RATES = (0.0, 0.2, 0.4)


def curve(scores, seed=0, rates=RATES, last=None, realised=1.0, **other):
    """A row a rate; rate 0 is the clean control. realised: share of the nominal rate that came out."""
    return [
        row(
            f1=score,
            last=score if last is None else last,
            rate=rate,
            seed=seed,
            **{"noise": "symmetric" if rate else "none", "realised_rate": realised * rate, **other},
        )
        for rate, score in zip(rates, scores, strict=True)
    ]


def test_slope_and_what_is_kept():
    (found,) = robustness(cells_of(curve([0.8, 0.7, 0.6]) + curve([0.9, 0.8, 0.4], seed=1, last=0.5)))
    assert (found.task.rate, found.rates, found.recipe) == (0.4, 3, ("random", "cross_entropy"))
    assert found.slopes["f1_best"] == {0: pytest.approx(-0.5), 1: pytest.approx(-1.25)}
    assert found.kept["f1_best"] == {0: pytest.approx(0.75), 1: pytest.approx(4 / 9)}
    assert found.slopes["f1_last"][1] == pytest.approx(0) and found.kept["f1_last"][1] == 1


def test_the_slope_is_that_of_least_squares_over_the_realised_rate():
    scores = [0.81, 0.77, 0.53]
    (found,) = robustness(cells_of(curve(scores, realised=0.8)))
    assert found.slopes["f1_best"][0] == pytest.approx(np.polyfit([0, 0.16, 0.32], scores, 1)[0])
    (nominal,) = robustness(cells_of(curve(scores, realised_rate=None)))
    assert nominal.slopes["f1_best"][0] == pytest.approx(np.polyfit(RATES, scores, 1)[0])


def test_without_a_clean_control_nothing_is_kept_but_there_is_a_slope():
    (found,) = robustness(cells_of(curve([0.7, 0.5], rates=(0.2, 0.4))))
    assert found.kept["f1_best"] == {} and found.slopes["f1_best"][0] == pytest.approx(-1)


def test_what_has_no_slope():
    assert robustness(cells_of(curve([0.8], rates=(0.4,)))) == []
    assert robustness(cells_of(curve([0.8], rates=(0.0,)) + curve([0.7], rates=(0.0,), noise="given"))) == []
    waiting = [row(rate=rate, state="waiting") for rate in (0.2, 0.4)]
    assert robustness(cells_of(waiting)) == []
    seeds_apart = curve([0.8], rates=(0.2,)) + curve([0.7], seed=1, rates=(0.4,))
    assert robustness(cells_of(seeds_apart))[0].slopes["f1_best"] == {}


def test_each_kind_of_noise_shares_the_clean_control():
    rows = curve([0.8, 0.6], rates=(0.0, 0.4)) + curve([0.7], rates=(0.4,), noise="pairflip")
    found = {one.task.noise: one.slopes["f1_best"][0] for one in robustness(cells_of(rows))}
    assert found == {"symmetric": pytest.approx(-0.5), "pairflip": pytest.approx(-0.25)}


def test_lines_of_the_file():
    rows = curve([0.8, 0.7, 0.6]) + curve([0.8, 0.7], seed=1, rates=(0.2, 0.4))
    (line,) = robustness_lines(robustness(cells_of(rows)))
    values = dict(zip(HEADER, line, strict=True))
    where = [values[name] for name in ("dataset", "noise", "rates", "highest_rate")]
    assert where == ["elpv", "symmetric", 3, 0.4]
    assert values["f1_best_slope_mean"] == pytest.approx(-0.5) and values["f1_best_n"] == 2
    assert values["f1_best_kept_mean"] == pytest.approx(0.75) and values["f1_best_kept_sd"] is None


def grid(init="random", falls=(("easy", 0.9, 0.2, 0.5), ("hard", 0.4, 0.1, 0.05)), **other):
    """Two seeds a dataset; falls: dataset, clean F1, loss from rate to rate, separability."""
    return [
        one
        for dataset, clean, loss, value in falls
        for seed in (0, 1)
        for one in curve(
            [clean, clean - loss, clean - 2 * loss],
            seed,
            dataset=dataset,
            init=init,
            **{"thumbnail_separability": value, "separability": 2 * value, **other},
        )
    ]


def test_the_hard_dataset_comes_first_and_who_loses_least_is_told():
    cells = cells_of(grid())
    ranked, missing = rank(cells)
    assert not missing and [one.place.dataset for one in ranked] == ["hard", "easy"]
    assert [one.separability for one in ranked] == pytest.approx([0.05, 0.5])
    assert {one.features for one in ranked} == {"thumbnails"}
    assert [one.slope["f1_best"].mean for one in ranked] == [pytest.approx(-0.5), pytest.approx(-1)]
    assert told(ranked, cells) == [
        "From hard to easy, by class separability of 8 x 8 thumbnails: hard (0.05), easy (0.5).",
        "Change of macro-F1 for each 0.1 of labels that symmetric noise makes wrong, from least to most: "
        "hard (−0.050 ± 0.000), easy (−0.100 ± 0.000).",
    ]


def test_imagenet_features_are_preferred_where_all_datasets_have_them():
    ranked, _ = rank(cells_of(grid() + grid("imagenet")))
    assert {one.features for one in ranked} == {"imagenet"} and ranked[0].separability == pytest.approx(0.1)
    half = [one for one in grid("imagenet") if one.dataset == "easy"]
    assert {one.features for one in rank(cells_of(grid() + half))[0]} == {"thumbnails"}


def test_datasets_are_compared_by_the_recipes_that_all_have():
    better = (("easy", 0.9, 0.0, 0.5),)
    ranked, _ = rank(cells_of(grid() + grid("simclr", better)))
    assert {one.recipes for one in ranked} == {1}
    assert ranked[1].slope["f1_best"].mean == pytest.approx(-1)
    ranked, _ = rank(cells_of(grid() + grid("simclr", (*better, ("hard", 0.4, 0.0, 0.05)))))
    assert {one.recipes for one in ranked} == {2} and ranked[1].slope["f1_best"].mean == pytest.approx(-0.5)


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        (curve([0.8, 0.7, 0.6]), "takes two datasets or more; this grid has one"),
        (grid(thumbnail_separability=None), "no class separability is known for every dataset"),
        ([one for one in grid() if one.rate == 0.4], "each at two rates of one kind of noise or more"),
        ([one for one in grid() if one.dataset == "easy" or one.rate == 0], "one recipe with results on two datasets"),
    ],
)
def test_what_is_missing_is_said(rows, words):
    ranked, missing = rank(cells_of(rows))
    assert ranked == [] and words in missing
    assert robustness_vs_difficulty(cells_of(rows)) is None and told(ranked, cells_of(rows)) == []


def test_a_panel_a_kind_of_noise_with_every_dataset_named():
    pairs = [one for one in grid(noise="pairflip") if one.rate]
    figure = robustness_vs_difficulty(cells_of(grid() + pairs))
    assert [axes.get_title() for axes in figure.axes] == ["symmetric noise", "pairflip noise"]
    for axes in figure.axes:
        assert {text.get_text() for text in axes.texts} == {"hard", "easy"}
        assert axes.get_xlabel().startswith("class separability of 8 x 8 thumbnails")
    assert figure.axes[0].get_ylabel().replace("\n", " ") == "change of macro-F1 for each 0.1 of labels made wrong"


def test_lines_of_the_ranking():
    lines = list(difficulty.difficulty_lines(rank(cells_of(grid()))[0]))
    values = dict(zip(difficulty.HEADER, lines[0], strict=True))
    assert (values["dataset"], values["features"], values["recipes"]) == ("hard", "thumbnails", 1)
    assert values["separability"] == pytest.approx(0.05)
    assert values["f1_best_slope_mean"] == pytest.approx(-0.5)
