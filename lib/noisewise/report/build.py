"""Everything that a report consists of, made and written."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from typing import Any

from noisewise.errors import UserError
from noisewise.report import difficulty, page, robustness, tables
from noisewise.report.answer import answer, overall
from noisewise.report.collect import Row, collect
from noisewise.report.drawing import to_bytes
from noisewise.report.figures import f1_vs_rate
from noisewise.report.learning_curve import f1_vs_size
from noisewise.report.scatter import robustness_vs_difficulty
from noisewise.report.size import effects_by_size
from noisewise.report.summary import LATER_SCORES, SCORES, Cell, cells_of
from noisewise.runs.config import Finetune
from noisewise.runs.files import replacing

FIGURES = {
    "f1_vs_rate": f1_vs_rate,
    "f1_vs_size": f1_vs_size,
    "robustness_vs_difficulty": robustness_vs_difficulty,
}
FORMS = ("png", "pdf", "svg")


@dataclass(frozen=True)
class Report:
    """page: the HTML file. answer: what it says first, a plain sentence an element."""

    page: Path
    answer: list[str]


def build_report(
    runs: Sequence[Finetune], root: Path, out: Path, title: str, missing: Mapping[str, str] | None = None
) -> Report:
    """Write the report of `runs`, whatever their state, whose folders lie in the runs folder `root`, into `out`.

    missing: key -> why this version cannot run it; such runs are counted by reason, and not reported as waiting.

    `out` gets results.csv (a row a run), summary.csv (a row a recipe and task), robustness.csv (a row a recipe and kind
    of noise), difficulty.csv (a row a dataset and kind of noise), tables/*.md and *.tex, figures/f1_vs_rate.png, .pdf
    and .svg, f1_vs_size too if there are several fractions, robustness_vs_difficulty if there are several datasets, and
    index.html. Files of an earlier report are replaced one by one.

    Raises:
        UserError: there are no runs, or `out` cannot be written.
    """
    left_out = Counter(missing[run.key] for run in runs if run.key in (missing or {}))
    runs = [run for run in runs if run.key not in (missing or {})]
    if not runs:
        raise UserError("nothing to report: the grid has no fine-tuning runs that this version can run.")
    found = collect(runs, root)
    cells = cells_of(found.rows)
    answers, shown, learnt = answer(cells), tables.f1_tables(cells), tables.learnt_tables(cells)
    ranked, unranked = difficulty.rank(cells)
    across = overall(answers) + effects_by_size(cells) + difficulty.told(ranked, cells)
    drawn = {name: figure for name, draw in FIGURES.items() if (figure := draw(cells))}
    html = page.render(title, across, answers, shown, learnt, drawn, found, left_out, unranked)
    files: dict[str, str | bytes] = {
        "results.csv": to_csv([item.name for item in fields(Row)], map(astuple, found.rows)),
        "summary.csv": to_csv(*summary_lines(cells)),
        "robustness.csv": to_csv(robustness.HEADER, robustness.robustness_lines(robustness.robustness(cells))),
        "difficulty.csv": to_csv(difficulty.HEADER, difficulty.difficulty_lines(ranked)),
        **{f"tables/{table.name}.md": tables.markdown(table) for table in [*shown, *learnt]},
        **{f"tables/{table.name}.tex": tables.latex(table) for table in [*shown, *learnt]},
        **{f"figures/{name}.{form}": to_bytes(figure, form) for name, figure in drawn.items() for form in FORMS},
        "index.html": html,
    }
    try:
        for name, content in files.items():
            _write(out / name, content)
    except OSError as error:
        raise UserError(f"cannot write the report into {out}: {error}. Name another folder with out=DIR.") from None
    return Report(out / "index.html", across + [line for one in answers for line in one.sentences])


def summary_lines(cells: Sequence[Cell]) -> tuple[list[str], list[list[Any]]]:
    """Header and lines of summary.csv: mean and sd over seeds; n seeds are done of the planned runs."""
    header = ["dataset", "backbone", "init", "method", "noise", "rate", "resolution", "planned", "n"]
    header += [*_columns(SCORES), "fraction", *_columns(LATER_SCORES)]
    lines = []
    for cell in cells:
        task, done = cell.task, cell.stat(SCORES[0])
        line = [task.dataset, task.backbone, cell.init, cell.method, task.noise, task.rate, task.resolution]
        line += [len(cell.rows), done.n if done else 0]
        lines.append([*line, *_values(cell, SCORES), task.fraction, *_values(cell, LATER_SCORES)])
    return header, lines


def _columns(scores: Sequence[str]) -> list[str]:
    return [f"{score}_{part}" for score in scores for part in ("mean", "sd")]


def _values(cell: Cell, scores: Sequence[str]) -> list[float | None]:
    stats = [cell.stat(score) for score in scores]
    return [value for one in stats for value in ([one.mean, one.sd] if one else [None, None])]


def to_csv(header: Sequence[str], lines: Iterable[Sequence[Any]]) -> str:
    """CSV text; what is not known is an empty field."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(lines)
    return buffer.getvalue()


def _write(path: Path, content: str | bytes) -> None:
    with replacing(path, "wb") as file:
        file.write(content if isinstance(content, bytes) else content.encode("utf-8"))
