"""Grids on this machine: to the end, around failures, through interruptions, and again."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from noisewise.grid.expand import read_grid
from noisewise.launch.status import describe, status
from noisewise.runs.folder import RunFolder, State

SUBMIT = Path(__file__).parents[2] / "jobs" / "submit.py"


def submit(grid: Path, runs: Path, *words: str, wait: bool = True):
    command = [sys.executable, str(SUBMIT), f"grid={grid}", f"runs={runs}", f"data={grid.parent}", *words]
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": ""}
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=environment,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # shells in the background withhold it
    )
    if not wait:
        return process
    output, _ = process.communicate(timeout=300)
    return process.returncode, output


def states(grid: Path, runs: Path, overrides=None) -> list[State]:
    return [RunFolder.of(runs, run).state() for run in read_grid(str(grid), overrides).ready]


@pytest.fixture(scope="module")
def finished(shapes_grid, tmp_path_factory):
    """The grid run to its end: its runs folder and what submit said."""
    runs = tmp_path_factory.mktemp("finished") / "runs"
    code, output = submit(shapes_grid, runs)
    assert code == 0, output
    return runs, output


@pytest.fixture
def prepared(shapes_grid, finished, tmp_path) -> Path:
    """A runs folder in which the preparation is done, and nothing else."""
    runs, key = tmp_path / "runs", read_grid(str(shapes_grid)).runs[0].key
    (runs / "prepare").mkdir(parents=True)
    (runs / "prepare" / key).symlink_to(finished[0] / "prepare" / key)
    return runs


def results(grid: Path, runs: Path, overrides=None) -> dict[str, dict]:
    """What runs found, without times."""
    found = {run.key: RunFolder.of(runs, run).read_result() for run in read_grid(str(grid), overrides).runs}
    return {key: {k: v for k, v in value.items() if "seconds" not in k} for key, value in found.items()}


def test_a_grid_runs_to_its_report(shapes_grid, finished):
    runs, output = finished
    assert set(states(shapes_grid, runs)) == {State.DONE}
    assert (runs / "report" / "grid" / "index.html").exists()
    assert len((runs / "report" / "grid" / "results.csv").read_text().splitlines()) == 1 + 4
    assert "symmetric 0.4" in output.split("report:")[0]
    assert output.rstrip().endswith("index.html")


def test_what_a_run_leaves(shapes_grid, finished):
    run = read_grid(str(shapes_grid)).finetunes[0]
    folder = RunFolder.of(finished[0], run)
    result = folder.read_result()
    assert 0 <= result["f1_last"] <= 1 and 0 <= result["f1_best"] <= 1
    assert result["classes"] == ["disc", "ring", "square"]
    assert sum(map(sum, result["confusion_best"])) == result["test_images"]
    assert result["realised_rate"] == pytest.approx(0.4, abs=0.15)
    provenance = json.loads(folder.provenance.read_text())
    assert provenance["versions"]["torch"] and provenance["attempts"][0]["wall_seconds"] > 0
    assert folder.model.exists() and folder.predictions.exists()
    assert not folder.checkpoint.exists() and not folder.lease.exists()


def test_submitting_again_computes_nothing(shapes_grid, finished):
    runs, _ = finished
    before = {path: path.stat().st_mtime_ns for path in runs.rglob("result.json")}
    code, output = submit(shapes_grid, runs)
    assert code == 0 and "started" not in output
    assert before == {path: path.stat().st_mtime_ns for path in runs.rglob("result.json")}


def test_a_failing_run_takes_along_only_what_stands_on_it(shapes_grid, prepared):
    runs = prepared
    code, output = submit(shapes_grid, runs, "recipe.pretrain.simclr.batch=60")  # planning knows of 72 images only
    assert code == 1, output
    overrides = {"recipe": {"pretrain": {"simclr": {"batch": 60}}}}
    grid = read_grid(str(shapes_grid), overrides)
    found = dict(zip((run.key for run in grid.ready), states(shapes_grid, runs, overrides), strict=True))
    assert [found[run.key] for run in grid.finetunes if run.init == "random"] == [State.DONE] * 2
    assert [found[run.key] for run in grid.finetunes if run.init != "random"] == [State.WAITING] * 2
    failure = next(RunFolder.of(runs, run) for run in grid.runs if run.stage == "pretrain").read_failure()
    assert failure.kind == "config" and "larger than" in failure.message and "at most" in failure.advice
    assert "FAILED" in output and output.count("blocked ") == 2
    text = "\n".join(describe(status(grid, runs)))
    assert "1 failed (config)" in text and failure.advice in text


def wait_for(condition, seconds: float = 100) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.05)


def test_interrupted_and_submitted_again_it_ends_as_if_undisturbed(shapes_grid, finished, prepared):
    """A pretraining and a fine-tuning side by side: stopped by SIGTERM as they begin, and by Ctrl-C after an epoch."""
    runs, overrides = prepared, {"finetune": ["cross_entropy"]}
    words = ("finetune=[cross_entropy]", "cluster.at_once=2")
    for number, sign in ((signal.SIGTERM, "pretrain/*/lease.json"), (signal.SIGINT, "finetune/*/metrics.jsonl")):
        before = size(runs, sign)
        process = submit(shapes_grid, runs, *words, wait=False)
        wait_for(lambda sign=sign, before=before: size(runs, sign) > before)
        os.killpg(process.pid, number)  # as a terminal does: to every process in the group
        output, _ = process.communicate(timeout=60)
        assert process.returncode == 130, output
        assert "type the same command again" in output
        found = states(shapes_grid, runs, overrides)
        assert State.RUNNING not in found and State.WAITING in found and State.DONE in found
    code, output = submit(shapes_grid, runs, *words)
    assert code == 0, output
    undisturbed = results(shapes_grid, finished[0], overrides)
    assert len(undisturbed) == 4 and results(shapes_grid, runs, overrides) == undisturbed


def size(runs: Path, pattern: str) -> int:
    """Of all files together, bytes."""
    return sum(path.stat().st_size for path in runs.glob(pattern))


def test_a_killed_payload_is_a_failure_of_its_own_and_retried(shapes_grid, finished, prepared):
    runs, overrides = prepared, {"init": ["simclr"], "finetune": ["cross_entropy"]}
    words = ("init=[simclr]", "finetune=[cross_entropy]")
    process = submit(shapes_grid, runs, *words, wait=False)
    wait_for(lambda: list(runs.glob("pretrain/*/lease.json")))
    lease = json.loads(next(runs.glob("pretrain/*/lease.json")).read_text())
    os.kill(lease["pid"], signal.SIGKILL)
    output, _ = process.communicate(timeout=300)
    assert process.returncode == 1, output
    assert "(node) killed by signal 9" in output
    code, output = submit(shapes_grid, runs, *words)
    assert code == 0, output
    undisturbed = results(shapes_grid, finished[0], overrides)
    assert len(undisturbed) == 3 and results(shapes_grid, runs, overrides) == undisturbed


def test_two_submits_at_once_run_nothing_twice(shapes_grid, tmp_path):
    runs = tmp_path / "runs"
    processes = [submit(shapes_grid, runs, "init=[random]", wait=False) for _ in range(2)]
    outputs = [process.communicate(timeout=300)[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], outputs
    found = list(runs.rglob("provenance.json"))
    assert len(found) == 3
    for provenance in found:
        attempts = json.loads(provenance.read_text())["attempts"]
        assert len(attempts) == 1, provenance


def test_a_runs_folder_that_cannot_be_written(shapes_grid, tmp_path):
    (tmp_path / "file").write_text("")
    code, output = submit(shapes_grid, tmp_path / "file" / "runs")
    assert code == 2
    assert "cannot write to the runs folder" in output and "runs=DIR" in output


def test_two_ranks_a_run_started_by_submitit(shapes_grid, prepared):
    runs = prepared
    code, output = submit(shapes_grid, runs, "cluster.ranks=2", "init=[simclr]", "finetune=[coteaching]")
    assert code == 0, output
    for stage in ("pretrain", "finetune"):
        provenance = json.loads(next(runs.glob(f"{stage}/*/provenance.json")).read_text())
        assert [attempt["ranks"] for attempt in provenance["attempts"]] == [2]
        assert (next(runs.glob(f"{stage}/*/log")) / "rank1.log").exists()
