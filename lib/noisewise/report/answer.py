"""The answer in words: rows in, plain sentences out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from noisewise.report import words
from noisewise.report.summary import Cell, Task, gain, main_effect, tasks_of, verdict

REFERENCE_INIT = "random"
REFERENCE_METHOD = "cross_entropy"
EQUAL = 1e-9


@dataclass(frozen=True)
class TaskAnswer:
    """What was found on one task. best, baseline: None while they have no result (or are not in the grid)."""

    task: Task
    heading: str
    sentences: list[str]
    best: Cell | None
    baseline: Cell | None


def answer(cells: Sequence[Cell]) -> list[TaskAnswer]:
    """What each task's runs say, in the order of the grid."""
    tasks = tasks_of(cells)
    return [_answer_task(task, [cell for cell in cells if cell.task == task], tasks) for task in tasks]


def overall(answers: Sequence[TaskAnswer]) -> list[str]:
    """What holds across tasks: who wins how often, and by how much. Nothing for a single task."""
    found = [one for one in answers if one.best]
    if len(found) < 2:
        return []
    wins = Counter(one.best.name for one in found).most_common(3)
    told = ", ".join(f"{name} in {count}" for name, count in wins)
    sizes = ", share of its training images" if len({one.task.fraction for one in found}) > 1 else ""
    sentences = [f"Of {len(found)} combinations of dataset{sizes} and noise with results, scoring best: {told}."]
    gains = [gain(one.best, one.baseline) for one in found if one.baseline and one.best is not one.baseline]
    gains = [one.mean for one in gains if one]
    if len(gains) > 1:
        low, high = words.signed(min(gains)), words.signed(max(gains))
        gained = low if low == high else f"between {low} and {high}"
        sentences.append(f"The best gains {gained} macro-F1 over {REFERENCE_INIT} + {REFERENCE_METHOD}.")
    return sentences


def _answer_task(task: Task, cells: list[Cell], tasks: Sequence[Task]) -> TaskAnswer:
    heading = f"{words.full_place(task, tasks)}, {words.noise(task)}"
    ranked = sorted((cell for cell in cells if cell.stat("f1_best")), key=lambda cell: -cell.stat("f1_best").mean)
    progress = _progress(cells)
    if not ranked:
        return TaskAnswer(task, heading, [f"On {heading}: no result yet. {progress}"], None, None)
    base = next((cell for cell in ranked if (cell.init, cell.method) == (REFERENCE_INIT, REFERENCE_METHOD)), None)
    sentences = [
        f"On {_setting(task, cells, tasks)}, {_winner(ranked, base)}",
        _close(ranked),
        _effects(cells, "init", REFERENCE_INIT, "Pretraining"),
        _effects(cells, "method", REFERENCE_METHOD, "Noisy-label method"),
        _last(ranked, base),
        words.selection(cells),
        progress,
        _clashes(cells),
    ]
    return TaskAnswer(task, heading, [sentence for sentence in sentences if sentence], ranked[0], base)


def _setting(task: Task, cells: Sequence[Cell], tasks: Sequence[Task]) -> str:
    """ "elpv at symmetric 0.5 (realised 0.49)": the realised rate is the mean over runs."""
    if task.noise == "none":
        return f"{words.full_place(task, tasks)} without added noise"
    if task.noise == "given":
        return f"{words.full_place(task, tasks)} with its given labels"
    realised = [row.realised_rate for cell in cells for row in cell.rows if row.realised_rate is not None]
    rate = f" (realised {sum(realised) / len(realised):.2f})" if realised else ""
    return f"{words.full_place(task, tasks)} at {words.noise(task)}{rate}"


def _winner(ranked: Sequence[Cell], base: Cell | None) -> str:
    best, top = ranked[0], ranked[0].stat("f1_best")
    scored = f"macro-F1 {words.value(top)} {words.seeds(top)}"
    if len(ranked) == 1:
        return f"{best.name} is the only one with a result so far: {scored}."
    tied = [cell.name for cell in ranked if top.mean - cell.stat("f1_best").mean < EQUAL]
    if len(tied) > 1:
        return f"{words.listing(tied)} tie for the best: {scored}."
    if best is base:
        return f"nothing tried beats {best.name}, the baseline: {scored}; next is {_compared(best, ranked[1])}."
    rivals = [base] if base else [ranked[1]]
    same_method = next((cell for cell in ranked if (cell.init, cell.method) == (REFERENCE_INIT, best.method)), None)
    if base and same_method and same_method not in (best, base):
        rivals.append(same_method)
    missing = "" if base else f"; {REFERENCE_INIT} + {REFERENCE_METHOD} has no result to compare with"
    against = ", and ".join(_over(best, rival) for rival in rivals)
    return f"{best.name} scores best: {scored}, {against}{missing}."


def _over(best: Cell, rival: Cell) -> str:
    """ "+0.08 over random + cross_entropy (0.52 ± 0.02; within seed noise)"."""
    difference, score = gain(best, rival), words.value(rival.stat("f1_best"))
    if difference is None:
        return f"no seed in common with {rival.name} ({score})"
    shared = "" if _same_seeds(best, rival) else f" on the {words.plural(difference.n, 'seed')} that both have"
    return f"{words.signed(difference.mean)} over {rival.name}{shared} ({score}; {verdict(difference)})"


def _compared(best: Cell, rival: Cell) -> str:
    difference = gain(best, rival)
    how = f"; {verdict(difference)}" if difference else ""
    return f"{rival.name} ({words.value(rival.stat('f1_best'))}{how})"


def _same_seeds(one: Cell, other: Cell) -> bool:
    return one.by_seed("f1_best").keys() == other.by_seed("f1_best").keys()


def _close(ranked: Sequence[Cell]) -> str:
    """Who cannot be told apart from the best."""
    best = ranked[0]
    near = []
    for cell in ranked[1:]:
        difference = gain(best, cell)
        if difference and difference.sd is not None and verdict(difference) == "within seed noise":
            near.append(f"{cell.name} ({words.value(cell.stat('f1_best'))})")
    return f"Within seed noise of it: {words.listing(near)}." if near else ""


def _effects(cells: Sequence[Cell], factor: str, reference: str, title: str) -> str:
    """The mean gain of each level of a factor over its reference, the largest first."""
    other = "method" if factor == "init" else "init"
    levels = dict.fromkeys(getattr(cell, factor) for cell in cells)
    effects = {level: main_effect(cells, factor, level, reference) for level in levels if level != reference}
    effects = {level: effect for level, effect in effects.items() if effect}
    if not effects:
        return ""
    done = {(getattr(cell, factor), getattr(cell, other)) for cell in cells if cell.stat("f1_best")}
    count = len({value for level, value in done if level != reference and (reference, value) in done})
    over = f"{reference} init" if factor == "init" else reference
    averaged = f", mean over {words.plural(count, words.KINDS[other])}" if count > 1 else ""
    told = [
        f"{level} {words.difference(effect)} ({verdict(effect)})"
        for level, effect in sorted(effects.items(), key=lambda item: -item[1].mean)
    ]
    return f"{title}, gain over {over}{averaged}, paired by seed: {'; '.join(told)}."


def _last(ranked: Sequence[Cell], base: Cell | None) -> str:
    """What is left at the end of training, where wrong labels have been learnt by heart."""
    best = ranked[0]
    told = [best] if base in (None, best) else [best, base]
    parts = []
    for cell in told:
        peak, end = cell.stat("f1_best").mean, cell.stat("f1_last")
        parts.append(f"{cell.name} {words.value(end)} ({words.signed(end.mean - peak)} from its best epoch)")
    lasting = max(ranked, key=lambda cell: cell.stat("f1_last").mean)
    end = lasting.stat("f1_last")
    ahead = end.mean - best.stat("f1_last").mean > EQUAL
    highest = f"; highest there is {lasting.name} {words.value(end)}" if ahead and lasting not in told else ""
    if ahead and lasting in told:
        highest = f"; {lasting.name} is the highest there"
    return f"Over the last epochs: {', '.join(parts)}{highest}."


def _progress(cells: Sequence[Cell]) -> str:
    """How many runs are done, where not all are."""
    states = Counter(row.state for cell in cells for row in cell.rows)
    done, total = states.pop("done", 0), sum(len(cell.rows) for cell in cells)
    if done == total:
        return ""
    rest = ", ".join(f"{count} {state}" for state, count in sorted(states.items()))
    if not done:
        return f"Of {words.plural(total, 'run')}: {rest}."
    return f"{done} of {total} runs {'is' if done == 1 else 'are'} done ({rest}), so this may change."


def _clashes(cells: Sequence[Cell]) -> str:
    names = [cell.name for cell in cells if cell.clash]
    if not names:
        return ""
    return (
        f"Take care with {words.listing(names)}: runs of one seed differ in a setting that is not told apart here, "
        f"and their mean is shown; results.csv has each."
    )
