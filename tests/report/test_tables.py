"""Markdown and LaTeX tables."""

from __future__ import annotations

import shutil
import subprocess

import pytest
from made_up_runs import row

from noisewise.report.summary import cells_of
from noisewise.report.tables import escape_latex, escape_markdown, f1_tables, file_name, latex, learnt_tables, markdown

ROWS = [
    row(f1=0.5, seed=0),
    row(f1=0.6, seed=1),
    row("simclr", f1=0.7, seed=0),
    row("simclr", f1=0.7, seed=1),
    row("imagenet", state="failed"),
    row(f1=0.8, rate=0.2),
]


@pytest.fixture
def table():
    (made,) = f1_tables(cells_of(ROWS))
    return made


def test_mean_sd_and_the_best_in_bold(table):
    assert table.name == "f1_elpv_symmetric"
    assert "over 1 to 2 seeds" in table.caption
    lines = markdown(table).splitlines()
    assert lines[0].startswith("| init | method | symmetric 0.2, best | symmetric 0.2, last | symmetric 0.5, best |")
    assert lines[2] == "| random | cross_entropy | **0.800** | **0.700** | 0.550 ± 0.071 | 0.450 ± 0.071 |"
    assert lines[3] == "| simclr | cross_entropy | – | – | **0.700 ± 0.000** | **0.600 ± 0.000** |"
    assert lines[4] == "| imagenet | cross_entropy | – | – | – | – |"


def test_of_what_is_better_low_the_lowest_is_bold():
    made = [row(memorised_best=0.1, memorised_last=0.8), row("simclr", memorised_best=0.2, memorised_last=0.3)]
    (found,) = learnt_tables(cells_of(made))
    assert (found.name, found.columns) == ("memorised_elpv_symmetric", ["best", "last"])
    assert markdown(found).splitlines()[2:4] == [
        "| random | cross_entropy | **0.100** | 0.800 |",
        "| simclr | cross_entropy | 0.200 | **0.300** |",
    ]
    assert "the lowest of each column in bold" in found.caption


def test_latex_is_booktabs_with_names_escaped(table):
    text = latex(table)
    assert r"random & cross\_entropy & \textbf{0.800} &" in text
    assert r"\cmidrule(lr){3-4}\cmidrule(lr){5-6}" in text
    assert text.count(r"\toprule") == text.count(r"\bottomrule") == 1


def test_latex_escapes_what_it_would_read():
    assert escape_latex(r"a_b & 50% of $x^2$ #1 {~\}") == (
        r"a\_b \& 50\% of \$x\textasciicircum{}2\$ \#1 \{\textasciitilde{}\textbackslash{}\}"
    )
    assert escape_latex("0.5 ± 0.1 <b>\n|") == r"0.5 $\pm$ 0.1 \textless{}b\textgreater{} \textbar{}"


@pytest.mark.skipif(not shutil.which("pdflatex"), reason="there is no pdflatex")
def test_latex_compiles(tmp_path):
    (made,) = f1_tables(cells_of([row(r"s_i&m#1\%$~^{}<|>", dataset="a_b%", f1=0.5)]))
    (tmp_path / "table.tex").write_text(latex(made), encoding="utf-8")
    page = r"\documentclass{article}\usepackage{booktabs}\begin{document}\input{table}\end{document}"
    (tmp_path / "page.tex").write_text(page)
    run = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "page.tex"]
    done = subprocess.run(run, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-2000:]


def test_markdown_keeps_names_inside_their_cells():
    assert escape_markdown("a|b <script> *c*\nd") == r"a\|b \<script\> \*c\* d"


def test_file_names_stay_in_their_folder():
    assert file_name("f1_../../etc, 64 px_symmetric") == "f1_.._.._etc_64_px_symmetric"
    assert "/" not in file_name("/a/b")


def test_a_table_a_fraction():
    tenth, whole = f1_tables(cells_of([row(f1=0.5, fraction=0.1), row(f1=0.7)]))
    assert (tenth.name, whole.name) == ("f1_elpv_10pct_symmetric", "f1_elpv_100pct_symmetric")
    assert tenth.caption.startswith(
        "Macro-F1 on the clean test set of elpv, trained on 10% of its training images, under"
    )
    assert "trained on all of its training images, under symmetric noise" in whole.caption
    assert markdown(tenth).splitlines()[2] == "| random | cross_entropy | **0.500** | **0.400** |"
    assert r"trained on 10\% of" in latex(tenth)
