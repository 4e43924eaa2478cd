"""The local executor: a grid's runs on this machine, several at a time, parents before children.

Each run is a submitit task, as on a cluster. A run that fails takes along only those that stand on it. Ctrl-C asks
every run to save and leave; the next submit goes on from there.
"""

from __future__ import annotations

import contextlib
import shutil
import signal
import time
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from submitit.local.local import LocalExecutor, LocalJob

from noisewise.launch.cluster import Cluster, Slots
from noisewise.launch.progress import Progress
from noisewise.launch.task import RunTask
from noisewise.runs.config import Run
from noisewise.runs.failure import classify
from noisewise.runs.files import write_json
from noisewise.runs.folder import RunFolder, State

POLL_SECONDS = 0.2
SAVE_SECONDS = 120  # how long runs may take to save when asked to stop
NO_TIMEOUT_MINUTES = 60 * 24 * 365
TRY_AGAIN = (75, 76)  # exit statuses of a run that was asked to stop, or that another submit was at work on


@dataclass
class Outcome:
    """How the runs ended: keys of done, failed, and blocked ones (whose parent failed)."""

    done: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    blocked: list[str] = field(default_factory=list)


@dataclass
class _Running:
    run: Run
    slot: int
    job: LocalJob


class LocalScheduler:
    """Runs `todo`, which has parents before children, on this machine's slots; waits for what others are at work on."""

    def __init__(self, todo: Sequence[Run], root: Path, cluster: Cluster, slots: Slots, progress: Progress) -> None:
        self.waiting = list(todo)
        self.root = root
        self.cluster = cluster
        self.slots = slots
        self.progress = progress
        self.free = list(range(slots.count))
        self.running: list[_Running] = []
        self.outcome = Outcome()
        self.submission = uuid.uuid4().hex[:8]
        self.folder = root.resolve() / "submitit" / self.submission

    def run(self) -> Outcome:
        """Run everything to its end.

        Raises:
            KeyboardInterrupt: after Ctrl-C or SIGTERM, once the runs have saved and left.
        """
        with _interrupt_on_sigterm():
            try:
                while self.waiting or self.running:
                    self._collect()
                    self._start_what_can()
                    self.progress.update([(item.run, self._folder(item.run)) for item in self.running])
                    time.sleep(POLL_SECONDS)
            except BaseException:
                self._stop()
                raise
        if not self.outcome.failed:
            shutil.rmtree(self.folder, ignore_errors=True)  # submitit's pickles and logs
        return self.outcome

    def _folder(self, run: Run) -> RunFolder:
        return RunFolder.of(self.root, run)

    def _collect(self) -> None:
        for item in [item for item in self.running if item.job.done()]:
            self.running.remove(item)
            self.free.append(item.slot)
            state = self._folder(item.run).state()
            if state is State.RUNNING or (state is State.WAITING and _exit_status(item.job) in TRY_AGAIN):
                self.waiting.append(item.run)
            else:
                self._end(item.run, done=state is State.DONE)

    def _end(self, run: Run, done: bool) -> None:
        (self.outcome.done if done else self.outcome.failed).append(run.key)
        (self.progress.done if done else self.progress.failed)(run, self._folder(run))

    def _start_what_can(self) -> None:
        for run in list(self.waiting):
            if any(self._hopeless(parent) for parent in run.parents):
                self.waiting.remove(run)
                self.outcome.blocked.append(run.key)
                self.progress.blocked(run)
            elif self.free and all(self._done(parent) for parent in run.parents):
                self._start_unless_elsewhere(run)

    def _start_unless_elsewhere(self, run: Run) -> None:
        """Start a run, unless another submit is at work on it, or has done it meanwhile."""
        state = self._folder(run).state()
        if state is State.RUNNING:
            return
        self.waiting.remove(run)
        if state is State.DONE:
            self._end(run, done=True)
            return
        try:
            self._start(run)
        except OSError as error:
            with contextlib.suppress(OSError):
                write_json(self._folder(run).failure, classify(error).to_dict())
            self._end(run, done=False)

    def _done(self, parent: Run) -> bool:
        """Whether a parent is done: not one of ours that is still being collected, and it has its result."""
        running = any(item.run.key == parent.key for item in self.running)
        return not running and self._folder(parent).result.exists()

    def _hopeless(self, parent: Run) -> bool:
        """Whether a parent will not be done: it failed, or its own parent did."""
        return parent.key in self.outcome.failed or parent.key in self.outcome.blocked

    def _start(self, run: Run) -> None:
        slot = min(self.free)
        ranks = self.cluster.ranks if run.stage != "prepare" else 1
        executor = LocalExecutor(folder=self.folder / "%j")
        executor.update_parameters(timeout_min=NO_TIMEOUT_MINUTES, tasks_per_node=ranks)
        task = RunTask(str(self._folder(run).path.resolve()), uuid.uuid4().hex[:8], self._gpus(slot, ranks))
        with _sigint_held():
            job = executor.submit(task)
            self.free.remove(slot)
            self.running.append(_Running(run, slot, job))
        self.progress.started(run)

    def _gpus(self, slot: int, ranks: int) -> tuple[str, ...]:
        """The GPUs of a slot, one a rank; none where there are none."""
        gpus = self.slots.gpus
        return tuple(gpus[(slot * ranks + rank) % len(gpus)] for rank in range(ranks)) if gpus else ()

    def _stop(self) -> None:
        """Ask every run to save and leave, and wait for it; a second Ctrl-C leaves them to it."""
        with contextlib.suppress(OSError):  # nobody may be listening any more
            self.progress.stopping(len(self.running))
        end = time.monotonic() + SAVE_SECONDS
        while time.monotonic() < end and (left := [item for item in self.running if not item.job.done()]):
            for item in left:  # again and again: a task that is only just starting does not hear the first
                item.job._process.send_signal(signal.SIGTERM)  # submitit's controller forwards it to its tasks
            time.sleep(1)


def _exit_status(job: LocalJob) -> int | None:
    """What the task returned, None if it died."""
    return job.result() if job.paths.result_pickle.exists() and job.exception() is None else None


@contextlib.contextmanager
def _sigint_held() -> Iterator[None]:
    """Ctrl-C waits for the block's end, and processes started in it never get it: they inherit the blocked signal.

    So Ctrl-C reaches this process alone, which then asks the tasks to stop.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})


@contextlib.contextmanager
def _interrupt_on_sigterm() -> Iterator[None]:
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
