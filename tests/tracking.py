"""What the tests of tracking share: a run, and a process that tracks it."""

from __future__ import annotations

import sys
import textwrap

from noisewise.runs.config import Prepare, Pretrain, Run
from noisewise.runs.folder import RunFolder
from noisewise.runs.methods import SimCLR
from noisewise.track import read_metrics

RUN: Run = Pretrain(Prepare("nct"), "simclr", SimCLR(), seed=3)


def epochs(folder: RunFolder) -> list[int]:
    return [record["epoch"] for record in read_metrics(folder.metrics)]


def script(folder: RunFolder, body: str, wandb: str = "off") -> list[str]:
    """A process that has a tracker on the folder and runs `body`."""
    begin = f"""
        import os, sys, time
        from noisewise.runs.folder import RunFolder, Settings
        from noisewise.track import Tracker
        from tests.tracking import RUN
        tracker = Tracker(RunFolder({str(folder.path)!r}), RUN, Settings(wandb={wandb!r}))
    """
    return [sys.executable, "-c", textwrap.dedent(begin) + textwrap.dedent(body)]
