"""A grid that is done."""

from __future__ import annotations

from pathlib import Path

import pytest
from made_up_runs import finetune, finish

from noisewise.runs.config import Finetune


@pytest.fixture
def grid(tmp_path) -> tuple[list[Finetune], Path]:
    """Two inits, two methods, two seeds at symmetric 0.5, all done; and the runs folder."""
    runs = [
        finetune(init, method, seed=seed)
        for init in ("random", "simclr")
        for method in ("cross_entropy", "coteaching")
        for seed in (0, 1)
    ]
    for run in runs:
        bonus = (0.06 if run.init != "random" else 0.0) + (0.03 if run.method == "coteaching" else 0.0)
        finish(tmp_path / "runs", run, f1_best=0.5 + bonus + 0.01 * run.seed, f1_last=0.42 + bonus)
    return runs, tmp_path / "runs"
