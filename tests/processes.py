"""Processes of their own for tests, without the seconds that importing torch takes each."""

from __future__ import annotations

import os
import runpy
import sys
from multiprocessing import get_context
from pathlib import Path

# Each process is forked from one that has imported these and computed nothing: after a backward pass in the tests'
# own process, a fork of that could not do another.
FORKS = get_context("forkserver")
FORKS.set_forkserver_preload(
    [
        "torch._dynamo",
        "torch.distributed",
        "sklearn.linear_model",
        "noisewise.launch.payload",
        "noisewise.pretrain.engine",
        "noisewise.finetune.engine",
    ]
)


def run_script(path: Path, words: tuple[str, ...], said: Path, environment: dict[str, str]) -> int:
    """Run a Python file as `python PATH WORDS` does; returns its exit status. Its output goes to the file `said`."""
    process = FORKS.Process(target=_script, args=(path, words, said, environment))
    process.start()
    process.join()
    return process.exitcode


def _script(path: Path, words: tuple[str, ...], said: Path, environment: dict[str, str]) -> None:
    with open(said, "wb", buffering=0) as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = [str(path), *words]
    runpy.run_path(str(path), run_name="__main__")
