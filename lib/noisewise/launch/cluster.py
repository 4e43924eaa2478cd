"""Where a grid runs: `slurm/NAME.yaml`, one file a cluster."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from noisewise.errors import UserError
from noisewise.grid.files import CHECKOUT, merge, read_yaml
from noisewise.runs.schema import build

CLUSTERS = CHECKOUT / "slurm"
DRIVER = Path("/proc/driver/nvidia/gpus")  # a folder a GPU; asking nvidia-smi takes seconds


@dataclass(frozen=True)
class Cluster:
    """A cluster without a scheduler: this machine.

    threads: CPU threads a run's process. at_once: runs at a time, 0 for what the GPUs or cores allow. ranks: processes
    a run.
    """

    threads: int = 1
    at_once: int = 0
    ranks: int = 1


@dataclass(frozen=True)
class Slots:
    """What there is to place runs on: `count` at a time, each on `cores` cores, and with GPUs where there are some."""

    count: int
    gpus: tuple[str, ...]
    cores: int = 1


def load_cluster(name: str, overrides: Mapping[str, Any] | None = None, folder: Path = CLUSTERS) -> Cluster:
    """A cluster by name or path.

    Raises:
        UserError: an unknown name or key, or a number below its least.
    """
    values, where = read_yaml(folder, name, "cluster")
    cluster = build(Cluster, merge(values, overrides or {}), where)
    for key, least in (("threads", 1), ("at_once", 0), ("ranks", 1)):
        if getattr(cluster, key) < least:
            raise UserError(f"{where}: {key} is {getattr(cluster, key)}; it must be at least {least}.")
    return cluster


def slots(cluster: Cluster) -> Slots:
    """How many of this machine's GPUs or cores the cluster's runs may take at a time.

    Raises:
        UserError: a run wants more ranks than there are GPUs.
    """
    gpus = visible_gpus()
    cores = len(os.sched_getaffinity(0))
    if gpus and cluster.ranks > len(gpus):
        raise UserError(f"ranks is {cluster.ranks}, and there are {len(gpus)} GPUs here; set cluster.ranks to that.")
    fit = len(gpus) // cluster.ranks if gpus else cores // (cluster.threads * cluster.ranks)
    return Slots(cluster.at_once or max(1, fit), gpus, cluster.threads * cluster.ranks)


def visible_gpus() -> tuple[str, ...]:
    """The ids of the GPUs that this process may use (numbers, or the names that CUDA takes), found without torch."""
    shown = os.environ.get("CUDA_VISIBLE_DEVICES")
    if shown is not None:
        return tuple(part.strip() for part in shown.split(",") if part.strip() not in ("", "-1", "NoDevFiles"))
    return tuple(str(number) for number in range(len(list(DRIVER.glob("*")))))
