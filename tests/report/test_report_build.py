"""The whole report: files, columns, and a page that is safe and stands alone."""

from __future__ import annotations

import csv
import json
import re
import subprocess
import sys
from dataclasses import replace
from html.parser import HTMLParser

import pytest
from made_up_runs import cut_in_half, fail, finetune, finish

from noisewise.errors import UserError
from noisewise.report.build import build_report
from noisewise.runs.config import Noise, init_name
from noisewise.runs.folder import RunFolder

COLUMNS = (
    "key,dataset,backbone,init,method,noise,rate,realised_rate,seed,resolution,f1_best,f1_last,accuracy_best,"
    "accuracy_last,balanced_accuracy_best,auroc_best,best_epoch,epochs,gpu_seconds,wall_seconds,state,val_f1_best,"
    "images_per_second,train_images,test_images,fraction"
)
LATER_COLUMNS = (
    "balanced_accuracy_last,auroc_last,ece_best,ece_last,memorised_best,memorised_last,wrong_found_precision_best,"
    "wrong_found_recall_best,wrong_found_precision_last,wrong_found_recall_last,selected_by,assume_rate,assumed_rate,"
    "train"
)


class Elements(HTMLParser):
    """Every element of a page with its attributes; and whether each that was opened was closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict]] = []
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))
        if tag not in ("meta", "link", "br"):
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def table(path):
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_everything_is_written(grid, tmp_path):
    runs, root = grid
    report = build_report(runs, root, tmp_path / "report", "demo")
    assert report.page == tmp_path / "report" / "index.html"
    written = {str(path.relative_to(report.page.parent)) for path in report.page.parent.rglob("*") if path.is_file()}
    figures = {f"figures/f1_vs_rate.{form}" for form in ("png", "pdf", "svg")}
    tables = {f"tables/{name}_elpv_symmetric.{form}" for name in ("f1", "memorised", "ece") for form in ("md", "tex")}
    numbers = {"results.csv", "summary.csv", "robustness.csv", "difficulty.csv"}
    assert written == {"index.html"} | numbers | figures | tables
    assert report.answer[0].startswith("On elpv at symmetric 0.5 (realised 0.49), simclr + coteaching scores best")


def test_csv_has_the_columns_that_scripts_rely_on_and_no_nan(grid, tmp_path):
    runs, root = grid
    runs = [*runs, finetune("imagenet")]
    build_report(runs, root, tmp_path / "report", "demo")
    text = (tmp_path / "report" / "results.csv").read_text()
    assert text.startswith(f"{COLUMNS},{LATER_COLUMNS}")
    assert "nan" not in text.lower()
    rows = table(tmp_path / "report" / "results.csv")
    assert [line["key"] for line in rows] == [run.key for run in runs]
    assert (rows[-1]["state"], rows[-1]["f1_best"]) == ("waiting", "")
    assert float(rows[1]["f1_best"]) == 0.51
    assert [rows[1][name] for name in ("memorised_last", "selected_by", "assumed_rate", "train")] == [
        *("0.83", "clean", "", "all")
    ]


def test_summary_is_over_seeds(grid, tmp_path):
    runs, root = grid
    build_report(runs, root, tmp_path / "report", "demo")
    first = table(tmp_path / "report" / "summary.csv")[0]
    assert (first["init"], first["method"], first["n"], first["planned"]) == ("random", "cross_entropy", "2", "2")
    assert float(first["f1_best_mean"]) == pytest.approx(0.505)
    assert float(first["f1_best_sd"]) == pytest.approx(0.01 / 2**0.5)
    assert (float(first["memorised_last_mean"]), float(first["memorised_last_sd"])) == (pytest.approx(0.83), 0.0)


def test_several_fractions_have_a_column_a_figure_and_sentences(grid, tmp_path):
    runs, root = grid
    tenths = [
        finetune(init, run.method, seed=run.seed, fraction=0.1)
        for run in runs
        for init in [init_name(run.init, "elpv")]
    ]
    for run in tenths:
        finish(root, run, f1_best=0.4 if run.init == "random" else 0.5, train_images=171)
    report = build_report([*tenths, *runs], root, tmp_path / "report", "demo")
    for name in ("results", "summary"):
        lines = table(report.page.parent / f"{name}.csv")
        assert [line["fraction"] for line in lines] == ["0.1"] * (len(lines) // 2) + ["1.0"] * (len(lines) // 2)
    assert all((report.page.parent / f"figures/f1_vs_size.{form}").stat().st_size for form in ("png", "pdf", "svg"))
    text = report.page.read_text(encoding="utf-8")
    assert text.count("<svg ") == 2 and "F1 against the number of training images" in text
    told = "gain of simclr over random init (mean over 2 methods) by share of the training images: +0.10"
    assert any(told in sentence for sentence in report.answer) and told in text
    assert Elements(text).open == []


def test_what_was_learnt_of_wrong_labels_is_a_part_of_the_page(grid, tmp_path):
    text = build_report(*grid, tmp_path / "report", "demo").page.read_text(encoding="utf-8")
    part = text[text.index('id="learnt"') : text.index('id="classes"')]
    assert (
        "How far wrong labels were learnt" in part and part.count("<details open>") == 1 and part.count("<table>") == 2
    )
    assert "0.830 ± 0.000" in part and "0.210 ± 0.000" in part


def test_results_of_an_older_version_lack_that_part_and_nothing_else(grid, tmp_path):
    runs, root = grid
    for run in runs:
        path = RunFolder.of(root, run).result
        lacking = [*LATER_COLUMNS.split(","), "train"]
        path.write_text(json.dumps({k: v for k, v in json.loads(path.read_text()).items() if k not in lacking}))
    text = build_report(runs, root, tmp_path / "report", "demo").page.read_text(encoding="utf-8")
    assert 'id="learnt"' not in text and "Nothing: every run is done." in text
    assert [line["ece_best"] for line in table(tmp_path / "report" / "results.csv")] == [""] * len(runs)


def test_two_matrices_of_one_rate_are_not_averaged(tmp_path):
    root, out = tmp_path / "runs", tmp_path / "report"
    clean = finetune(noise="none", rate=0.0)
    noises = [Noise("transition", 0.2, matrix={name: {name: 0.8, "c": 0.2}}) for name in "ab"]
    noisy = [replace(clean, noise=noise) for noise in noises]
    for run, f1 in zip([clean, *noisy], (0.8, 0.7, 0.3), strict=True):
        finish(root, run, f1_best=f1, realised_rate=run.noise.rate)
    build_report([clean, *noisy], root, out, "matrices")
    one, two = (noise.name for noise in noises)
    found = {line["noise"]: line["f1_best_mean"] for line in table(out / "summary.csv")}
    assert found == {"none": "0.8", one: "0.7", two: "0.3"}
    slopes = {line["noise"]: float(line["f1_best_slope_mean"]) for line in table(out / "robustness.csv")}
    assert slopes == {one: pytest.approx(-0.5), two: pytest.approx(-2.5)}
    assert {path.stem for path in (out / "tables").glob("f1_*.md")} >= {f"f1_elpv_{one}", f"f1_elpv_{two}"}
    page = (out / "index.html").read_text()
    assert f"elpv at {one} 0.2" in page and f"under {two} noise" in page and "Take care" not in page


def test_labels_that_are_not_clean_are_told(tmp_path):
    given, noisy = finetune(noise="given", rate=0.0), finetune()
    finish(tmp_path / "runs", given, selected_by="given", memorised_best=None, memorised_last=None)
    finish(tmp_path / "runs", noisy, selected_by="noisy")
    report = build_report([given, noisy], tmp_path / "runs", tmp_path / "report", "demo")
    said, captions = " ".join(report.answer), report.page.parent / "tables"
    assert "No true labels are known: epochs are chosen and scored by the given ones" in said
    assert "by validation labels as noisy as those of training; test labels are clean." in said
    assert "Macro-F1 on the test set (by its given labels) of elpv" in (captions / "f1_elpv_given.md").read_text()
    assert "best noisy-validation F1" in (captions / "f1_elpv_symmetric.md").read_text()
    assert not (captions / "memorised_elpv_given.md").exists() and (captions / "ece_elpv_given.md").exists()


def test_the_page_is_whole_and_asks_nobody_for_anything(grid, tmp_path):
    runs, root = grid
    text = build_report(runs, root, tmp_path / "report", "demo").page.read_text(encoding="utf-8")
    elements = Elements(text)
    assert elements.open == []
    assert not re.search(r"https?:|@import|url\((?!#)", text)
    loading = [
        (tag, name)
        for tag, attrs in elements.found
        for name, value in attrs.items()
        if name in ("src", "href", "xlink:href", "srcset", "data") and not value.startswith("#")
    ]
    assert loading == []
    assert not {"script", "link", "iframe", "img"} & {tag for tag, _ in elements.found}


def test_the_page_leads_with_the_answer(grid, tmp_path):
    runs, root = grid
    text = build_report(runs, root, tmp_path / "report", "demo").page.read_text(encoding="utf-8")
    places = [text.index(f'id="{name}"') for name in ("answer", "figure", "tables", "missing", "provenance")]
    assert places == sorted(places)
    assert "Nothing: every run is done." in text
    for fact in ("3f9a2c1", "node1", "2.14.1", "13 min"):
        assert fact in text


def test_names_are_escaped(tmp_path):
    evil = "<script>alert(1)</script>"
    runs = [finetune(dataset=evil, seed=seed) for seed in (0, 1)]
    finish(tmp_path / "runs", runs[0], classes=[evil, "b", '"c&', "d"])
    fail(tmp_path / "runs", runs[1], message=evil, advice=evil)
    text = build_report(runs, tmp_path / "runs", tmp_path / "report", evil).page.read_text(encoding="utf-8")
    assert "script" not in {tag for tag, _ in Elements(text).found}
    assert "&lt;script&gt;alert(1)" in text


def test_an_unfinished_grid_says_what_is_missing_and_what_to_do(grid, tmp_path):
    runs, root = grid
    cut_in_half(RunFolder.of(root, runs[0]).result)
    RunFolder.of(root, runs[1]).result.unlink()
    fail(root, runs[2])
    RunFolder.of(root, runs[2]).result.unlink()
    report = build_report(runs, root, tmp_path / "report", "demo")
    text = report.page.read_text(encoding="utf-8")
    assert "3 of 8 fine-tuning runs have no result." in text
    assert "out of memory at step 3" in text
    assert "Set a smaller batch." in text
    assert "result.json cannot be used" in text
    assert any("5 of 8 runs are done (2 failed, 1 waiting)" in sentence for sentence in report.answer)


def test_a_grid_that_has_not_begun_has_a_report(tmp_path):
    report = build_report([finetune(), finetune(rate=0.2)], tmp_path / "runs", tmp_path / "report", "demo")
    assert report.answer[0] == "On elpv, symmetric 0.5: no result yet. Of 1 run: 1 waiting."
    assert "2 of 2 fine-tuning runs have no result." in report.page.read_text(encoding="utf-8")


def test_no_runs_and_a_folder_that_cannot_be_written_are_told(grid, tmp_path):
    with pytest.raises(UserError, match="no fine-tuning runs"):
        build_report([], tmp_path, tmp_path / "report", "demo")
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="out=DIR"):
        build_report(*grid, tmp_path / "file", "demo")


def test_importing_the_report_loads_no_plotting():
    heavy = "{'matplotlib', 'pandas', 'jinja2', 'torch', 'sklearn'}"
    code = f"import sys, noisewise.report.build; print({heavy} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
