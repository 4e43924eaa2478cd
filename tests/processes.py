"""Processes of their own for tests, without the seconds that importing torch takes each."""

from __future__ import annotations

from multiprocessing import get_context

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
