"""The page: one HTML file that stands alone, offline."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import noisewise
from noisewise.report import words
from noisewise.report.answer import TaskAnswer
from noisewise.report.collect import ClassScores, Collected, Row
from noisewise.report.drawing import inline_svg
from noisewise.report.summary import Cell
from noisewise.report.tables import Table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SHOWN_VALUES = 6
HIDDEN_COLUMNS = (  # of the table of all runs
    *("key", "balanced_accuracy_best", "auroc_best", "gpu_seconds", "val_f1_best", "images_per_second"),
    *("balanced_accuracy_last", "auroc_last", "ece_best", "ece_last", "assume_rate", "assumed_rate"),
    *("wrong_found_precision_best", "wrong_found_recall_best", "wrong_found_precision_last", "wrong_found_recall_last"),
    "thumbnail_separability",
)
FIGURES = (  # name, heading, and what it shows for those who cannot see it
    (
        "f1_vs_rate",
        "F1 against noise",
        "Macro-F1 on the test set against the noise rate, for each initialisation and method",
    ),
    (
        "f1_vs_size",
        "F1 against the number of training images",
        "Macro-F1 on the test set against the number of training images, for each initialisation and method",
    ),
    (
        "robustness_vs_difficulty",
        "Difficulty against robustness",
        "Change of macro-F1 with the noise rate against the class separability of each dataset",
    ),
)


@dataclass(frozen=True)
class ClassTable:
    """The best recipe of a task, class by class; confusion: rows true, shares of each true class, over all seeds."""

    heading: str
    best: str
    baseline: str | None
    rows: list[tuple[str, str, str]]
    classes: list[str]
    confusion: list[list[float | None]]


def render(
    title: str,
    across: Sequence[str],
    answers: Sequence[TaskAnswer],
    tables: Sequence[Table],
    learnt: Sequence[Table],
    figures: Mapping[str, Figure],
    found: Collected,
    left_out: Mapping[str, int],
    unranked: str,
) -> str:
    """The page's HTML. The figures' SVG is made by us; everything else is escaped by the template.

    across: sentences on what holds across tasks. learnt: tables on what was learnt of wrong labels.
    figures: by their names (`FIGURES`).
    left_out: why this version cannot run some fine-tunings of the grid -> how many.
    unranked: why datasets are not ranked by difficulty; empty where they are.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from markupsafe import Markup

    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    columns = [item.name for item in fields(Row) if item.name not in HIDDEN_COLUMNS]
    return environment.get_template("page.html").render(
        title=title,
        version=noisewise.__version__,
        across=across,
        cards=[_card(one) for one in answers],
        figures=[
            (heading, Markup(inline_svg(figures[name], label))) for name, heading, label in FIGURES if name in figures
        ],
        tables=tables,
        learnt=learnt,
        class_tables=[table for one in answers if (table := class_table(one, found.by_class))],
        states=Counter(row.state for row in found.rows).most_common(),
        total=len(found.rows),
        unfinished=sum(not row.done for row in found.rows),
        problems=found.problems,
        left_out=sorted(left_out.items()),
        unranked=unranked,
        columns=[name.replace("_", " ") for name in columns],
        rows=[[_shown(getattr(row, name)) for name in columns] for row in found.rows],
        provenance=provenance(found.provenance),
    )


def _card(one: TaskAnswer) -> dict[str, Any]:
    """A task's answer; its first sentence large, its best score larger."""
    top = one.best.stat("f1_best") if one.best else None
    return {
        "heading": one.heading,
        "best": one.best.name if one.best else None,
        "score": words.value(top) if top else None,
        "lead": one.sentences[0],
        "rest": one.sentences[1:],
    }


def class_table(one: TaskAnswer, by_class: dict[str, ClassScores]) -> ClassTable | None:
    """Where the best recipe gains and what it confuses; None where no run of it says."""
    best = _by_class(one.best, by_class)
    if not best:
        return None
    base = _by_class(one.baseline, by_class) if one.baseline is not one.best else []
    base = [scores for scores in base if scores.classes == best[0].classes]
    rows = [
        (name, _mean([scores.f1[index] for scores in best]), _mean([scores.f1[index] for scores in base]))
        for index, name in enumerate(best[0].classes)
    ]
    size = range(len(best[0].classes))
    counts = [[sum(scores.confusion[true][guess] for scores in best) for guess in size] for true in size]
    shares = [[count / sum(line) if sum(line) else None for count in line] for line in counts]
    baseline = one.baseline.name if base else None
    return ClassTable(one.heading, one.best.name, baseline, rows, list(best[0].classes), shares)


def _by_class(cell: Cell | None, by_class: dict[str, ClassScores]) -> list[ClassScores]:
    """The class-by-class scores of a cell's runs, of those that agree on the classes with the first."""
    found = [by_class[row.key] for row in cell.rows if row.key in by_class] if cell else []
    return [scores for scores in found if scores.classes == found[0].classes]


def _mean(values: Sequence[float | None]) -> str:
    known = [value for value in values if value is not None]
    return f"{sum(known) / len(known):.2f}" if known else "\N{EN DASH}"


def _shown(value: Any) -> str:
    if value is None:
        return "\N{EN DASH}"
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def provenance(found: Sequence[tuple[str, dict[str, Any]]]) -> list[tuple[str, str]]:
    """What the runs were made with: each fact once, with the values that it took; seconds summed by stage."""
    if not found:
        return []
    facts: dict[str, Counter[str]] = {}
    seconds: dict[str, Counter[str]] = {"wall_seconds": Counter(), "gpu_seconds": Counter()}
    for stage, values in found:
        versions = values.get("versions")
        told = {name: value for name, value in values.items() if not isinstance(value, (dict, list))}
        told |= versions if isinstance(versions, dict) else {}
        for name, value in told.items():
            if name in seconds:
                seconds[name][stage] += float(value) if isinstance(value, (int, float)) else 0.0
            elif value is not None and value != "":
                facts.setdefault(name, Counter())[str(value)] += 1
    stages = Counter(stage for stage, _ in found)
    lines = [("runs", ", ".join(f"{count} {stage}" for stage, count in stages.items()))]
    for name, spent in seconds.items():
        told = ", ".join(f"{stage} {duration(spent[stage])}" for stage in stages if spent[stage])
        if told:
            total = f"; together {duration(sum(spent.values()))}" if len(spent) > 1 else ""
            lines.append((name.replace("_seconds", " time"), told + total))
    return lines + [(name.replace("_", " "), _values(values)) for name, values in facts.items()]


def _values(values: Counter[str]) -> str:
    """One value as it is; several with their counts, the commonest first."""
    if len(values) == 1:
        return next(iter(values))
    told = ", ".join(f"{value} ({words.plural(count, 'run')})" for value, count in values.most_common(SHOWN_VALUES))
    return told + (f" and {len(values) - SHOWN_VALUES} more" if len(values) > SHOWN_VALUES else "")


def duration(seconds: float) -> str:
    """Seconds as people say them: "48 s", "12 min", "3.4 h"."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
