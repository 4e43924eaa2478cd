"""Clusters, and what a machine has room for."""

from __future__ import annotations

import pytest

from noisewise.errors import UserError
from noisewise.launch import cluster as clusters
from noisewise.launch.cluster import Cluster, load_cluster, slots, visible_gpus


@pytest.fixture
def four_cores(monkeypatch):
    monkeypatch.setattr(clusters.os, "sched_getaffinity", lambda _: set(range(4)))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")


def test_local_is_there():
    assert load_cluster("local") == Cluster()


def test_overrides_and_mistakes(tmp_path):
    assert load_cluster("local", {"at_once": 3}).at_once == 3
    with pytest.raises(UserError, match="Did you mean 'threads'"):
        load_cluster("local", {"thread": 3})
    with pytest.raises(UserError, match="threads is 0"):
        load_cluster("local", {"threads": 0})
    with pytest.raises(UserError, match="unknown cluster 'locl'.*Did you mean 'local'"):
        load_cluster("locl")


@pytest.mark.parametrize(
    ("cluster", "count"),
    [(Cluster(), 4), (Cluster(threads=2), 2), (Cluster(threads=8), 1), (Cluster(at_once=7), 7), (Cluster(ranks=2), 2)],
)
def test_runs_share_the_cores(four_cores, cluster, count):
    assert slots(cluster).count == count


def test_runs_share_the_gpus(four_cores, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,5,6")
    assert visible_gpus() == ("4", "5", "6")
    assert slots(Cluster()).count == 3
    assert slots(Cluster(ranks=2)).count == 1
    with pytest.raises(UserError, match="ranks is 4, and there are 3 GPUs"):
        slots(Cluster(ranks=4))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-8932f937-d72c, MIG-GPU-1/1/0")
    assert visible_gpus() == ("GPU-8932f937-d72c", "MIG-GPU-1/1/0")
