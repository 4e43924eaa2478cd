"""Tables of scores, mean ± sd over seeds: one table a dataset, fraction and kind of noise, as Markdown and LaTeX."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from noisewise.report import words
from noisewise.report.summary import Cell, Task, noise_groups, tasks_of

DIGITS = 3
EMPTY = "\N{EN DASH}"

_TEX = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "±": r"$\pm$",
    "\N{EN DASH}": "--",
    "\N{MINUS SIGN}": "$-$",
} | {letter: f"\\{letter}" for letter in "&%$#_{}"}


@dataclass(frozen=True)
class Entry:
    """A cell of a table. best: it holds the best mean of its column."""

    text: str
    best: bool = False


@dataclass(frozen=True)
class Table:
    """rows: init, method, then an entry for each of `columns`; spans: a noise, and how many columns it heads."""

    name: str
    caption: str
    spans: list[tuple[str, int]]
    columns: list[str]
    rows: list[tuple[str, str, list[Entry]]]


@dataclass(frozen=True)
class Measure:
    """What a table is of. scores: at the best epoch and over the last ones. best: which mean of a column is in bold.

    title: how the caption begins; {images} becomes what the scores are on. remark: how it ends.
    """

    name: str
    scores: tuple[str, str]
    best: Callable[..., float | None]
    title: str
    remark: str


F1 = Measure(
    "f1",
    ("f1_best", "f1_last"),
    max,
    "Macro-F1 on {images}",
    "the highest of each column in bold. best: the epoch with the best {validation} F1; last: mean over the last "
    "epochs.",
)
MEMORISED = Measure(
    "memorised",
    ("memorised_best", "memorised_last"),
    min,
    "Memorised share of the wrong training labels",
    "the lowest of each column in bold. A wrong label is memorised if it is predicted for its own training image. "
    "best: at the best epoch; last: at the last one.",
)
CALIBRATION = Measure(
    "ece",
    ("ece_best", "ece_last"),
    min,
    "Expected calibration error (15 bins) on {images}",
    "the lowest of each column in bold. best: at the best epoch; last: mean over the last epochs.",
)


def f1_tables(cells: Sequence[Cell]) -> list[Table]:
    """A table a dataset, fraction and kind of noise: at each rate the best epoch's and the last epochs' score."""
    return _tables(F1, cells)


def learnt_tables(cells: Sequence[Cell]) -> list[Table]:
    """Likewise what was learnt of wrong labels, and how calibrated the classifiers are; of what has such scores."""
    return [table for measure in (MEMORISED, CALIBRATION) for table in _tables(measure, cells) if _told(table)]


def _told(table: Table) -> bool:
    return any(entry.text != EMPTY for _, _, entries in table.rows for entry in entries)


def _tables(measure: Measure, cells: Sequence[Cell]) -> list[Table]:
    tasks = tasks_of(cells)
    return [_table(measure, group, cells, tasks) for group in noise_groups(tasks)]


def _table(measure: Measure, group: Sequence[Task], cells: Sequence[Cell], tasks: Sequence[Task]) -> Table:
    at = {(cell.task, cell.init, cell.method): cell for cell in cells if cell.task in group}
    recipes = list(dict.fromkeys((init, method) for _, init, method in at))
    columns = [(task, score) for task in group for score in measure.scores]
    best = {column: _best(measure, column, at) for column in columns}
    rows = [
        (init, method, [_entry(at.get((task, init, method)), score, best[task, score]) for task, score in columns])
        for init, method in recipes
    ]
    return Table(
        name=file_name(f"{measure.name}_{words.short_place(group[-1], tasks)}_{group[-1].noise}"),
        caption=_caption(measure, group[-1], list(at.values()), tasks),
        spans=[(words.noise(task), 2) for task in group],
        columns=["best", "last"] * len(group),
        rows=rows,
    )


def _caption(measure: Measure, task: Task, cells: Sequence[Cell], tasks: Sequence[Task]) -> str:
    counts = {found.n for cell in cells if (found := cell.stat("f1_best"))}
    seeds = f"{min(counts)} to {max(counts)} seeds" if len(counts) > 1 else words.plural(max(counts, default=0), "seed")
    where, share = words.place(task, tasks), words.share(task, tasks)
    where = f"{where}, trained on {share}," if share else where
    noise = {"none": "without added noise", "given": "with its given labels"}.get(
        task.noise, f"under {task.noise} noise"
    )
    title, remark = (
        text.format(images=words.test_set(cells), validation=words.validation(cells))
        for text in (measure.title, measure.remark)
    )
    return f"{title} of {where} {noise}: mean ± sd over {seeds}; {remark}"


def _best(measure: Measure, column: tuple[Task, str], at: dict[tuple[Task, str, str], Cell]) -> float | None:
    task, score = column
    means = [found.mean for cell in at.values() if cell.task == task and (found := cell.stat(score))]
    return measure.best(means, default=None)


def _entry(cell: Cell | None, score: str, best: float | None) -> Entry:
    found = cell.stat(score) if cell else None
    return Entry(words.value(found, DIGITS), found.mean == best) if found else Entry(EMPTY)


def markdown(table: Table) -> str:
    """The table in GitHub's dialect."""
    heads = [noise for noise, width in table.spans for _ in range(width)]
    header = ["init", "method", *(f"{noise}, {column}" for noise, column in zip(heads, table.columns, strict=True))]
    lines = [[escape_markdown(name) for name in header], ["---", "---", *["---:"] * len(table.columns)]]
    for init, method, entries in table.rows:
        shown = [f"**{entry.text}**" if entry.best else entry.text for entry in entries]
        lines.append([escape_markdown(init), escape_markdown(method), *shown])
    body = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    return f"{body}\n\n{escape_markdown(table.caption)}\n"


def latex(table: Table) -> str:
    """The table as a float for `\\input`; needs the package booktabs and nothing else."""
    heads = " & ".join(rf"\multicolumn{{{width}}}{{c}}{{{escape_latex(noise)}}}" for noise, width in table.spans)
    starts = [3 + sum(width for _, width in table.spans[:index]) for index in range(len(table.spans))]
    rules = "".join(
        rf"\cmidrule(lr){{{start}-{start + width - 1}}}" for start, (_, width) in zip(starts, table.spans, strict=True)
    )
    lines = [
        r"% needs \usepackage{booktabs}",
        r"\begin{table}",
        r"\centering",
        rf"\caption{{{escape_latex(table.caption)}}}",
        rf"\begin{{tabular}}{{ll{'r' * len(table.columns)}}}",
        r"\toprule",
        rf" & & {heads} \\",
        rules,
        rf"init & method & {' & '.join(table.columns)} \\",
        r"\midrule",
    ]
    for init, method, entries in table.rows:
        shown = [
            rf"\textbf{{{text}}}" if entry.best else text for entry in entries for text in [escape_latex(entry.text)]
        ]
        lines.append(rf"{escape_latex(init)} & {escape_latex(method)} & {' & '.join(shown)} \\")
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", r"\end{table}", ""])


def escape_latex(text: str) -> str:
    """Text that LaTeX prints as it is."""
    return "".join(_TEX.get(letter, letter) for letter in " ".join(text.split()))


def escape_markdown(text: str) -> str:
    """Text that neither ends a table's cell nor becomes HTML or emphasis."""
    return re.sub(r"([\\|*`<>\[\]])", r"\\\1", " ".join(text.split()))


def file_name(text: str) -> str:
    """A name for a file: letters, digits, dots and dashes, "pct" for a percent sign, everything else an underscore."""
    return re.sub(r"[^\w.-]+", "_", text.replace("%", "pct")).strip("._") or "table"
