"""How names, scores and differences are written."""

from __future__ import annotations

from collections.abc import Sequence

from noisewise.report.summary import Stat, Task

MINUS = "\N{MINUS SIGN}"


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


def noise(task: Task) -> str:
    """The noise of a task: "symmetric 0.5"."""
    return "no added noise" if task.noise == "none" else f"{task.noise} {task.rate:g}"


def place(task: Task, among: Sequence[Task]) -> str:
    """The dataset of a task, with backbone and resolution where tasks differ in them."""
    parts = [task.dataset]
    if len({one.backbone for one in among}) > 1:
        parts.append(task.backbone)
    if len({one.resolution for one in among}) > 1:
        parts.append(f"{task.resolution} px")
    return ", ".join(parts)
