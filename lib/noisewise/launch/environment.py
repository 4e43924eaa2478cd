"""The environment of a payload; pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

# Set by schedulers and MPI for their own steps; torch, wandb and numba misread them in a child.
SCRUBBED = ("SLURM_CPU_BIND", "SLURM_MPI_TYPE", "PMI_", "PMIX_", "SBATCH_", "SUBMITIT_")


class Job(Protocol):
    """What is needed of `submitit.JobEnvironment`."""

    global_rank: int
    local_rank: int
    num_tasks: int


def payload_environment(
    outer: Mapping[str, str], job: Job, rendezvous: Path, gpus: Sequence[str] | None = None
) -> dict[str, str]:
    """The task's own environment without the scheduler's traps, and what the rank needs to join its fellows.

    gpus: the ids of the GPUs that the run may see; None leaves that as it is.
    """
    kept = {name: value for name, value in outer.items() if not name.startswith(SCRUBBED)}
    return {
        **kept,
        "RANK": str(job.global_rank),
        "LOCAL_RANK": str(job.local_rank),
        "WORLD_SIZE": str(job.num_tasks),
        "NOISEWISE_RENDEZVOUS": str(rendezvous),
        "NOISEWISE_CONTROL": "stdin",
        "PYTHONNOUSERSITE": "1",
        **({} if gpus is None else {"CUDA_VISIBLE_DEVICES": ",".join(gpus)}),
    }
