"""Folders into rows, broken ones too."""

from __future__ import annotations

import json
import os

import pytest
from made_up_runs import cut_in_half, fail, finetune, finish, result

from noisewise.report.collect import class_scores, collect
from noisewise.runs.files import write_json
from noisewise.runs.folder import RunFolder, Settings


def test_a_done_run_gives_its_config_and_its_scores(grid):
    runs, root = grid
    found = collect(runs, root)
    row = found.rows[-1]
    assert (row.dataset, row.backbone, row.init, row.method) == ("elpv", "resnet18", "simclr", "coteaching")
    assert (row.noise, row.rate, row.realised_rate, row.seed, row.resolution) == ("symmetric", 0.5, 0.49, 1, 32)
    assert (row.f1_best, row.best_epoch, row.state) == (pytest.approx(0.60), 7, "done")
    assert found.problems == []
    assert len(found.by_class) == len(found.provenance) == len(runs)


def test_a_row_says_which_fraction_and_how_many_images_that_was(tmp_path):
    run = finetune(fraction=0.1)
    finish(tmp_path, run, train_images=171)
    (row,) = collect([run], tmp_path).rows
    assert (row.fraction, row.train_images) == (0.1, 171)


def test_how_far_apart_the_classes_are_is_told_where_it_is_known(tmp_path):
    known, old = finetune(), finetune(dataset="older")
    finish(tmp_path, known, separability=0.25)
    finish(tmp_path, old)
    for run, value in ((known, 0.125), (old, "much")):
        folder = RunFolder.of(tmp_path, run.prepare)
        folder.create(run.prepare, Settings())
        write_json(folder.result, {"thumbnail_separability": value})
    rows = collect([known, old], tmp_path).rows
    assert [(row.separability, row.thumbnail_separability) for row in rows] == [(0.25, 0.125), (None, None)]


def test_every_state_is_told(tmp_path):
    done, failed, lost, waiting = (finetune(seed=seed) for seed in range(4))
    finish(tmp_path, done)
    fail(tmp_path, failed)
    RunFolder.of(tmp_path, lost).create(lost, Settings())
    RunFolder.of(tmp_path, lost).lease.write_text(json.dumps({"host": "gone", "pid": 1, "started": "1"}))
    os.utime(RunFolder.of(tmp_path, lost).lease, (0, 0))
    found = collect([done, failed, lost, waiting], tmp_path)
    assert [row.state for row in found.rows] == ["done", "failed", "lost", "waiting"]
    assert [problem.kind for problem in found.problems] == ["oom", "lost"]
    assert found.rows[1].f1_best is None


def test_half_a_result_is_a_problem_of_its_run_only(grid):
    runs, root = grid
    cut_in_half(RunFolder.of(root, runs[0]).result)
    found = collect(runs, root)
    assert [row.state for row in found.rows] == ["failed"] + ["done"] * 7
    (problem,) = found.problems
    assert problem.run == runs[0].name
    assert "result.json cannot be used" in problem.message
    assert str(RunFolder.of(root, runs[0]).path) in problem.advice


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("[]", "no JSON object"),
        (json.dumps({"f1_last": 0.5}), "has no 'f1_best'"),
        (json.dumps(result(f1_last="good")), "'f1_last' is 'good', not a number"),
        (json.dumps(result(f1_best=float("nan"))), "'f1_best' is nan, not a number"),
        (json.dumps(result(val_f1_best=float("inf"))), "'val_f1_best' is inf"),
        (json.dumps(result(f1_best=None)), "'f1_best' is None"),
        (json.dumps(result(selected_by=["clean"])), "'selected_by' is ['clean']"),
        (json.dumps(result(assumed_rate="known")), "'assumed_rate' is 'known', not a number"),
    ],
)
def test_a_result_that_is_not_one_is_a_problem(tmp_path, content, said):
    run = finetune()
    finish(tmp_path, run).result.write_text(content)
    found = collect([run], tmp_path)
    assert said in found.problems[0].message
    assert found.rows[0].f1_best is None


def test_what_a_method_was_told_of_the_rate_is_a_word_or_a_number(tmp_path):
    runs = [finetune(seed=seed) for seed in (0, 1)]
    finish(tmp_path, runs[0], assume_rate="estimated", assumed_rate=0.43)
    finish(tmp_path, runs[1], assume_rate=0.2, assumed_rate=0.2)
    assert [(row.assume_rate, row.assumed_rate) for row in collect(runs, tmp_path).rows] == [
        ("estimated", 0.43),
        (0.2, 0.2),
    ]


def test_an_auroc_that_is_not_defined_is_no_problem(tmp_path):
    run = finetune()
    finish(tmp_path, run, auroc_best=None)
    found = collect([run], tmp_path)
    assert (found.rows[0].auroc_best, found.problems) == (None, [])


def test_a_failed_pretraining_is_told_once_with_what_waits_for_it(tmp_path):
    runs = [finetune("simclr", method) for method in ("cross_entropy", "coteaching")]
    fail(tmp_path, runs[0].init, kind="nan", message="the loss is nan")
    found = collect(runs, tmp_path)
    (problem,) = found.problems
    assert (problem.stage, problem.kind, problem.waiting) == ("pretrain", "nan", 2)


def test_half_a_failure_and_half_a_provenance_stop_nothing(tmp_path):
    run = finetune()
    folder = fail(tmp_path, run)
    cut_in_half(folder.failure)
    folder.provenance.write_text('{"host": ')
    found = collect([run], tmp_path)
    assert "cannot be read" in found.problems[0].message
    assert found.provenance == []


def test_a_run_named_twice_is_one_row(grid):
    runs, root = grid
    assert len(collect([*runs, *runs], root).rows) == len(runs)


def test_class_scores_that_do_not_fit_together_are_left_out():
    assert class_scores(result()).classes[0] == "mono, whole"
    assert class_scores(result(classes=["one", "two"])) is None
    assert class_scores(result(f1_per_class_best=[0.5, "good", 0.5, None])) is None
    assert class_scores(result(confusion_best=[1, 2, 3, 4])) is None
    assert class_scores({}) is None
