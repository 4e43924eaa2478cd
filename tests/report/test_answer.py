"""The sentences, on made-up rows whose answer is known."""

from __future__ import annotations

from made_up_runs import row

from noisewise.report.answer import answer, overall
from noisewise.report.size import effects_by_size
from noisewise.report.summary import cells_of


def rows(scores: dict[tuple[str, str], tuple], **other) -> list:
    """Rows of seeds 0, 1, ...; a None is a run that waits."""
    return [
        row(*name, f1=f1, seed=seed, state="waiting" if f1 is None else "done", **other)
        for name, many in scores.items()
        for seed, f1 in enumerate(many)
    ]


FOUR = {
    ("random", "cross_entropy"): (0.51, 0.53),
    ("random", "coteaching"): (0.54, 0.56),
    ("simclr", "cross_entropy"): (0.59, 0.56),
    ("simclr", "coteaching"): (0.58, 0.62),
}


def said(made: list) -> str:
    (one,) = answer(cells_of(made))
    return "\n".join(one.sentences)


def test_a_mean_is_over_those_that_have_results():
    failed = {name: (None, None) if name[0] == "simclr" else f1 for name, f1 in FOUR.items()}
    (method,) = [line for line in said(rows(failed)).splitlines() if line.startswith("Noisy-label method")]
    assert method.startswith("Noisy-label method, gain over cross_entropy, paired by seed: coteaching +0.03")


def test_the_best_is_named_with_its_gains():
    assert said(rows(FOUR)).startswith(
        "On elpv at symmetric 0.5 (realised 0.49), simclr + coteaching scores best: macro-F1 0.60 ± 0.03 over 2 seeds, "
        "+0.08 over random + cross_entropy (0.52 ± 0.01; beyond the seeds' spread, but only 2 seeds), and "
        "+0.05 over random + coteaching (0.55 ± 0.01; beyond the seeds' spread, but only 2 seeds).\n"
    )


def test_who_is_within_seed_noise_of_the_best():
    assert "Within seed noise of it: simclr + cross_entropy (0.57 ± 0.02)." in said(rows(FOUR))


def test_main_effects():
    text = said(rows(FOUR))
    assert (
        "Pretraining, gain over random init, mean over 2 methods, paired by seed: "
        "simclr +0.05 ± 0.01 (beyond the seeds' spread, but only 2 seeds)." in text
    )
    # seed 0: (.03 - .01) / 2 = .01; seed 1: (.03 + .06) / 2 = .045
    assert "paired by seed: coteaching +0.03 ± 0.02" in text


def test_best_and_last_are_both_said():
    made = [row(f1=0.6, last=0.4, seed=0), row(method="coteaching", f1=0.58, last=0.55, seed=0)]
    text = said(made)
    assert "nothing tried beats random + cross_entropy, the baseline: macro-F1 0.60 (one seed)" in text
    assert (
        "Over the last epochs: random + cross_entropy 0.40 (−0.20 from its best epoch); "
        "highest there is random + coteaching 0.55." in text
    )


def test_one_seed_is_said_to_be_one():
    text = said(rows({name: many[:1] for name, many in FOUR.items()}))
    assert "simclr + cross_entropy scores best: macro-F1 0.59 (one seed), +0.08 over random + cross_entropy" in text
    assert "one seed only, so it may be chance" in text
    assert "±" not in text


def test_a_tie_names_both():
    tie = {("random", "cross_entropy"): (0.5, 0.6), ("simclr", "cross_entropy"): (0.6, 0.5)}
    assert "random + cross_entropy and simclr + cross_entropy tie for the best: macro-F1 0.55 ± 0.07" in said(rows(tie))


def test_a_loss_is_a_loss():
    text = said(rows({("random", "cross_entropy"): (0.6, 0.6, 0.6), ("simclr", "cross_entropy"): (0.5, 0.52, 0.51)}))
    assert "nothing tried beats random + cross_entropy, the baseline" in text
    assert "Pretraining, gain over random init, paired by seed: simclr −0.09 ± 0.01 (clear of seed noise)." in text


def test_missing_seeds_are_left_out_of_pairs_and_counted():
    text = said(rows({("random", "cross_entropy"): (0.5, None), ("simclr", "cross_entropy"): (0.6, 0.9)}))
    assert "+0.10 over random + cross_entropy on the 1 seed that both have (0.50; one seed only" in text
    assert "3 of 4 runs are done (1 waiting), so this may change." in text


def test_no_seed_in_common():
    text = said(rows({("random", "cross_entropy"): (0.5, None), ("simclr", "cross_entropy"): (None, 0.9)}))
    assert "no seed in common with random + cross_entropy (0.50)" in text


def test_without_a_baseline_there_is_no_gain_over_it():
    text = said(rows({("imagenet", "coteaching"): (0.6, 0.62), ("simclr", "coteaching"): (0.5, 0.5)}))
    assert "+0.11 over simclr + coteaching" in text
    assert "random + cross_entropy has no result to compare with" in text
    assert "Pretraining" not in text


def test_nothing_done_yet():
    assert said(rows({("random", "cross_entropy"): (None, None)})) == (
        "On elpv, symmetric 0.5: no result yet. Of 2 runs: 2 waiting."
    )


def test_only_one_recipe():
    assert "random + cross_entropy is the only one with a result so far" in said(
        rows({("random", "cross_entropy"): (0.5, 0.6)})
    )


def test_no_noise_and_what_tasks_differ_in():
    made = rows(FOUR, noise="none", rate=0.0) + rows(FOUR, noise="none", rate=0.0, resolution=64)
    first, second = answer(cells_of(made))
    assert first.sentences[0].startswith("On elpv, 32 px without added noise, simclr + coteaching")
    assert second.heading == "elpv, 64 px, no added noise"


def test_runs_that_the_report_cannot_tell_apart_are_warned_of():
    made = [row(f1=0.5), row(f1=0.7, key="other")]
    assert "Take care with random + cross_entropy" in said(made)


def test_over_several_tasks():
    made = [line for rate in (0.2, 0.5, 0.8) for line in rows(FOUR, rate=rate)]
    assert overall(answer(cells_of(made))) == [
        "Of 3 combinations of dataset and noise with results, scoring best: simclr + coteaching in 3.",
        "The best gains +0.08 macro-F1 over random + cross_entropy.",
    ]
    assert overall(answer(cells_of(rows(FOUR)))) == []


def test_a_fraction_is_said_and_compared_within():
    made = rows(FOUR, fraction=0.1) + rows({name: (0.9, 0.9) for name in FOUR})
    tenth, whole = answer(cells_of(made))
    assert tenth.heading == "elpv (10% of its training images), symmetric 0.5"
    assert tenth.sentences[0].startswith(
        "On elpv (10% of its training images) at symmetric 0.5 (realised 0.49), simclr + coteaching scores best: "
        "macro-F1 0.60 ± 0.03 over 2 seeds, +0.08 over random + cross_entropy"
    )
    assert whole.sentences[0].startswith("On elpv (all of its training images) at symmetric 0.5")
    assert overall([tenth, whole])[0].startswith(
        "Of 2 combinations of dataset, share of its training images and noise with results"
    )


def test_a_fraction_alone_is_said_and_all_images_alone_go_without_saying():
    assert said(rows(FOUR, fraction=0.125)).startswith("On elpv (12.5% of its training images) at symmetric 0.5")
    assert said(rows(FOUR)).startswith("On elpv at symmetric 0.5")


def test_gains_by_the_share_of_the_training_images():
    made = []
    for fraction, bonus in ((1.0, 0.02), (0.1, 0.10), (0.3, -0.05)):
        scores = {("random", "cross_entropy"): (0.5, 0.52), ("simclr", "cross_entropy"): (0.5 + bonus, 0.52 + bonus)}
        made += rows(scores, fraction=fraction)
    assert effects_by_size(cells_of(made)) == [
        "On elpv, symmetric 0.5, gain of simclr over random init by share of the training images: "
        "+0.10 ± 0.00 with 10%, −0.05 ± 0.00 with 30%, +0.02 ± 0.00 with 100%."
    ]


def test_gains_by_size_are_averaged_over_the_other_factor_and_need_two_sizes():
    both = rows(FOUR) + rows(FOUR, fraction=0.1)
    simclr, coteaching = effects_by_size(cells_of(both))
    assert "gain of simclr over random init (mean over 2 methods) by share" in simclr
    assert "gain of coteaching over cross_entropy (mean over 2 initialisations) by share" in coteaching
    assert effects_by_size(cells_of(rows(FOUR))) == []
    waiting = rows({name: (None, None) for name in FOUR}, fraction=0.1)
    assert effects_by_size(cells_of(rows(FOUR) + waiting)) == []
