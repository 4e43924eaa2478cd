"""The payload's command line and environment."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

from noisewise.launch.command import payload_command
from noisewise.launch.environment import payload_environment

JOB = SimpleNamespace(global_rank=3, local_rank=1, num_tasks=4)


def test_command_names_the_folder_and_nothing_else():
    command = payload_command(Path("/runs/pretrain/abc"), python="python3")
    assert command == ["python3", "-u", "-m", "noisewise.launch.payload", "/runs/pretrain/abc"]


def test_ranks_are_told_who_they_are_and_where_they_meet():
    environment = payload_environment({"HOME": "/home/me"}, JOB, Path("/runs/x/log/rendezvous-1"))
    assert environment["HOME"] == "/home/me"
    assert [environment[name] for name in ("RANK", "LOCAL_RANK", "WORLD_SIZE")] == ["3", "1", "4"]
    assert environment["NOISEWISE_RENDEZVOUS"] == "/runs/x/log/rendezvous-1"
    assert environment["NOISEWISE_CONTROL"] == "stdin"


def test_what_schedulers_set_for_their_own_steps_stays_outside():
    outer = {
        "SLURM_CPU_BIND": "mask",
        "PMIX_RANK": "0",
        "SBATCH_X": "1",
        "SUBMITIT_EXECUTOR": "slurm",
        "SLURM_JOB_ID": "7",
    }
    assert set(payload_environment(outer, JOB, Path("r"))) & set(outer) == {"SLURM_JOB_ID"}
