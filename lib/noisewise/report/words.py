"""How names, scores and differences are written."""

from __future__ import annotations

from collections.abc import Sequence

from noisewise.report.summary import Cell, Stat, Task
from noisewise.runs.fraction import percent

MINUS = "\N{MINUS SIGN}"
KINDS = {"init": "initialisation", "method": "method"}


def plural(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def listing(names: Sequence[str]) -> str:
    """Names as a sentence has them: "a, b and c"."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def value(score: Stat, digits: int = 2) -> str:
    """A score with its spread over seeds: "0.60 ± 0.03"; without spread where there is one seed."""
    mean = f"{score.mean:.{digits}f}"
    return mean if score.sd is None else f"{mean} ± {score.sd:.{digits}f}"


def seeds(score: Stat) -> str:
    return "(one seed)" if score.n == 1 else f"over {score.n} seeds"


def signed(difference: float, digits: int = 2) -> str:
    """A difference with its sign, nought without one."""
    text = f"{abs(difference):.{digits}f}"
    if float(text) == 0:
        return text
    return f"{MINUS if difference < 0 else '+'}{text}"


def difference(effect: Stat) -> str:
    """A mean difference with its spread over seeds: "+0.05 ± 0.01"."""
    return signed(effect.mean) + ("" if effect.sd is None else f" ± {effect.sd:.2f}")


def noise(task: Task) -> str:
    """The noise of a task: "symmetric 0.5"."""
    return {"none": "no added noise", "given": "given labels"}.get(task.noise, f"{task.noise} {task.rate:g}")


def place(task: Task, among: Sequence[Task]) -> str:
    """The dataset of a task, with backbone and resolution where tasks differ in them."""
    parts = [task.dataset]
    if len({one.backbone for one in among}) > 1:
        parts.append(task.backbone)
    if len({one.resolution for one in among}) > 1:
        parts.append(f"{task.resolution} px")
    return ", ".join(parts)


def share(task: Task, among: Sequence[Task]) -> str:
    """What a task is trained on: "10% of its training images"; nothing where every task has them all."""
    if all(one.fraction == 1 for one in among):
        return ""
    return f"{'all' if task.fraction == 1 else percent(task.fraction)} of its training images"


def full_place(task: Task, among: Sequence[Task]) -> str:
    """As `place`, with what is trained on: "elpv (10% of its training images)"."""
    told = share(task, among)
    return f"{place(task, among)} ({told})" if told else place(task, among)


def short_place(task: Task, among: Sequence[Task]) -> str:
    """As `full_place`, for titles: "elpv, 10%"."""
    return f"{place(task, among)}, {percent(task.fraction)}" if share(task, among) else place(task, among)


def validation(cells: Sequence[Cell]) -> str:
    """Which validation labels chose the best epochs: "clean-validation", or "validation" where they are not all so."""
    found = _selected_by(cells)
    return f"{found.pop()}-validation" if len(found) == 1 and found != {"given"} else "validation"


def test_set(cells: Sequence[Cell]) -> str:
    """What scores are on: "the clean test set", unless nobody knows its true labels."""
    return "the test set (by its given labels)" if "given" in _selected_by(cells) else "the clean test set"


def selection(cells: Sequence[Cell]) -> str:
    """A sentence on labels that are not clean where they are thought to be so; nothing where they are."""
    found = _selected_by(cells)
    if "given" in found:
        return "No true labels are known: epochs are chosen and scored by the given ones, wrong ones among them."
    if "noisy" in found:
        return "The best epoch is chosen by validation labels as noisy as those of training; test labels are clean."
    return ""


def _selected_by(cells: Sequence[Cell]) -> set[str]:
    """By what the runs that are done chose their best epochs; "clean" while none is."""
    return {row.selected_by or "clean" for cell in cells for row in cell.rows if row.done} or {"clean"}
