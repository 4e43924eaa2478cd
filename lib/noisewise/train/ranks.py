"""The processes that train one run together: one a device, joined by torch.distributed when there are several."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.nn.functional import all_gather

from noisewise.errors import RunError
from noisewise.train.global_norm import span_ranks
from noisewise.train.order import rows_of

RENDEZVOUS = "NOISEWISE_RENDEZVOUS"  # a file that is fresh for every attempt; else torchrun's MASTER_ADDR and _PORT
TIMEOUT = timedelta(minutes=30)


@dataclass(frozen=True)
class Ranks:
    """This process among its fellows."""

    rank: int
    world: int
    device: torch.device

    @property
    def first(self) -> bool:
        return self.rank == 0

    def rows(self, total: int) -> slice:
        """This rank's rows of a global batch."""
        return rows_of(self.rank, self.world, total)

    def wrap(self, module: nn.Module, global_norm: bool = True, in_turns: bool = False) -> nn.Module:
        """The module, with gradients averaged over ranks where there are several.

        Args:
            module: changed in place; every rank's has the same weights and buffers.
            global_norm: batch normalisation over all ranks' rows, as if one rank had them all; else over its own.
            in_turns: a backward pass reaches only some of the parameters.
        """
        if self.world == 1:
            return module
        if global_norm:
            span_ranks(module, self.device)
        return nn.parallel.DistributedDataParallel(module, broadcast_buffers=False, find_unused_parameters=in_turns)

    def any(self, flag: bool) -> bool:
        """Whether the flag is set on any rank; every rank must call this at the same step."""
        if self.world == 1:
            return flag
        shared = torch.tensor([float(flag)], device=self.device)
        dist.all_reduce(shared, dist.ReduceOp.MAX)
        return bool(shared.item())

    def decide(self, choice: int) -> int:
        """The first rank's choice, on every rank."""
        if self.world == 1:
            return choice
        shared = torch.tensor([choice], device=self.device)
        dist.broadcast(shared, 0)
        return int(shared.item())

    def sum(self, values: Tensor) -> Tensor:
        """The sum over ranks, elementwise."""
        if self.world > 1:
            dist.all_reduce(values)
        return values

    def same_buffers(self, module: nn.Module) -> None:
        """Give every rank the first rank's buffers, such as batch normalisation's running statistics."""
        if self.world > 1:
            for buffer in module.buffers():
                dist.broadcast(buffer, 0)

    def gather_rows(self, mine: Tensor, total: int) -> Tensor:
        """All rows [total, ...] of a global batch from each rank's own rows, in order; no gradient."""
        if self.world == 1:
            return mine.detach()
        most = -(-total // self.world)
        padded = mine.new_zeros(most, *mine.shape[1:])
        padded[: len(mine)] = mine.detach()
        parts = [torch.empty_like(padded) for _ in range(self.world)]
        dist.all_gather(parts, padded)
        sizes = [len(range(total)[rows_of(rank, self.world, total)]) for rank in range(self.world)]
        return torch.cat([part[:size] for part, size in zip(parts, sizes, strict=True)])

    def barrier(self) -> None:
        if self.world > 1:
            dist.barrier()


def gather_with_gradient(mine: Tensor) -> Tensor:
    """All ranks' rows, in rank order, from an equal number on each; the backward pass sums what ranks want of mine."""
    if not several():
        return mine
    everyone = torch.cat(all_gather(mine))
    if everyone.requires_grad:
        everyone.register_hook(Tensor.contiguous)  # gloo's backward scrambles gradients that are laid out otherwise
    return everyone


def several() -> bool:
    """Whether this process has fellows."""
    return dist.is_initialized() and dist.get_world_size() > 1


def mean_over_batch(per_sample: Tensor, total: int, world: int) -> Tensor:
    """This rank's share of the mean over a global batch: DDP averages over ranks, so the sum is scaled by them."""
    return per_sample.sum() * (world / total)


@contextmanager
def joined(device: str = "auto") -> Iterator[Ranks]:
    """Join the other ranks, as the environment (`RANK`, `WORLD_SIZE`, `LOCAL_RANK`) says, while the block runs.

    Args:
        device: "cpu", "cuda", or "auto": a GPU where there is one.

    Raises:
        RunError: config, if CUDA is asked for and not there.
    """
    rank, world = int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))
    local_rank = int(os.environ.get("LOCAL_RANK", 0))
    chosen = _device(device, local_rank)
    if world == 1:
        yield Ranks(0, 1, chosen)
        return
    rendezvous = os.environ.get(RENDEZVOUS)
    dist.init_process_group(
        "nccl" if chosen.type == "cuda" else "gloo",
        init_method=f"file://{rendezvous}" if rendezvous else "env://",
        rank=rank,
        world_size=world,
        timeout=TIMEOUT,
    )
    try:
        yield Ranks(rank, world, chosen)
    finally:
        dist.destroy_process_group()


def _device(name: str, local_rank: int) -> torch.device:
    if name == "cpu" or (name == "auto" and not torch.cuda.is_available()):
        return torch.device("cpu")
    if not torch.cuda.is_available():
        raise RunError("config", "device=cuda, but torch sees no GPU here", "Set device=auto, or run where a GPU is.")
    # A launcher that shows each rank its own GPU only leaves one to choose from.
    device = torch.device("cuda", local_rank % torch.cuda.device_count())
    torch.cuda.set_device(device)
    return device
