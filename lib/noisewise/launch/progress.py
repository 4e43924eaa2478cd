"""How a grid on this machine shows itself: bars on a terminal, plain lines elsewhere."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as RichProgress

from noisewise.runs.config import Prepare, Run
from noisewise.runs.folder import RunFolder

TAIL_BYTES = 4096
LINE_SECONDS = 15  # between plain lines about a running run


class Progress:
    """What the executor tells; words for each event. Subclasses show how far the running runs are."""

    def __init__(self, total: int, console: Console) -> None:
        self.total = total
        self.ended = 0
        self.console = console
        self._starts: dict[str, float] = {}

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing is left on the screen to clear."""

    def say(self, text: str) -> None:
        self.console.print(text, markup=False, highlight=False, soft_wrap=True)

    def started(self, run: Run) -> None:
        self._starts[run.key] = time.monotonic()
        self.say(f"{'started':<8} {run.stage:<9} {run.name}")

    def done(self, run: Run, folder: RunFolder) -> None:
        self._end(run, "done", headline(folder))

    def failed(self, run: Run, folder: RunFolder) -> None:
        failure = folder.read_failure()
        if failure:
            self._end(run, "FAILED", f"({failure.kind}) {failure.message}\n    {failure.advice}")
        else:
            self._end(run, "LOST", f"it ended without a word; see {folder.log}")

    def blocked(self, run: Run) -> None:
        self._end(run, "blocked", "a run that it stands on failed")

    def stopping(self, count: int) -> None:
        self.say(f"stopping: {count} runs are saving (Ctrl-C again to leave them to it)")

    def update(self, running: Sequence[tuple[Run, RunFolder]]) -> None:
        """Show how far the running runs are; called several times a second."""

    def _end(self, run: Run, what: str, words: str) -> None:
        self.ended += 1
        begun = self._starts.get(run.key)
        took = f" {time.monotonic() - begun:.0f} s" if begun else ""
        self.say(f"{what:<8} {run.stage:<9} {run.name}{took}  [{self.ended}/{self.total}]  {words}")


class Lines(Progress):
    """A line an event, and one now and then for each running run."""

    def __init__(self, total: int, console: Console) -> None:
        super().__init__(total, console)
        self._said = time.monotonic()

    def update(self, running: Sequence[tuple[Run, RunFolder]]) -> None:
        if time.monotonic() - self._said < LINE_SECONDS:
            return
        self._said = time.monotonic()
        for run, folder in running:
            done, total, words = position(run, folder)
            self.say(f"{'running':<8} {run.stage:<9} {run.name}  {unit(run)} {done}/{total} {words}")


class Bars(Progress):
    """A bar for the grid and one for each running run; events scroll past above."""

    def __init__(self, total: int, console: Console) -> None:
        super().__init__(total, console)
        self._bars = RichProgress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=30),
            MofNCompleteColumn(),
            TextColumn("{task.fields[words]}", markup=False),
            TimeElapsedColumn(),
            console=console,
        )
        self._grid = self._bars.add_task("runs", total=total, words="")
        self._tasks: dict[str, Any] = {}

    def __enter__(self) -> Bars:
        self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bars.stop()

    def update(self, running: Sequence[tuple[Run, RunFolder]]) -> None:
        self._bars.update(self._grid, completed=self.ended)
        for key in set(self._tasks) - {run.key for run, _ in running}:
            self._bars.remove_task(self._tasks.pop(key))
        for run, folder in running:
            done, total, words = position(run, folder)
            if run.key not in self._tasks:
                self._tasks[run.key] = self._bars.add_task(f"{run.stage} {run.name}", total=total, words="")
            self._bars.update(self._tasks[run.key], completed=done, total=total, words=words)


def make_progress(total: int) -> Progress:
    """Bars where somebody watches a terminal, lines elsewhere."""
    console = Console()
    return Bars(total, console) if console.is_terminal else Lines(total, console)


def unit(run: Run) -> str:
    return "images" if isinstance(run, Prepare) else "epoch"


def position(run: Run, folder: RunFolder) -> tuple[int, int, str]:
    """How far a run is: done, total and a word on its latest score, from the last line of its metrics."""
    last = last_metrics(folder)
    if isinstance(run, Prepare):
        return last.get("images", 0), last.get("of", 1), ""
    words = [f"{name} {last[key]:.3f}" for key, name in (("val_f1", "val F1"), ("loss", "loss")) if last.get(key)]
    return last.get("epoch", -1) + 1, run.recipe.epochs, words[0] if words else ""


def last_metrics(folder: RunFolder) -> dict[str, Any]:
    """The last whole line of metrics.jsonl, reading only the file's end."""
    try:
        with open(folder.metrics, "rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - TAIL_BYTES))
            lines = file.read().splitlines()
    except OSError:
        return {}
    for line in reversed(lines):
        try:
            values = json.loads(line)
        except ValueError:
            continue  # cut by the seek, or still being written
        if isinstance(values, dict):
            return values
    return {}


def headline(folder: RunFolder) -> str:
    """The one number of a done run."""
    result = folder.glance()
    if "f1_best" in result:
        return f"test F1 best {result['f1_best']:.3f}, last {result['f1_last']:.3f}"
    if "loss" in result:
        return f"loss {result['loss']:.3f}"
    return f"{result['images']:,} images" if "images" in result else ""
