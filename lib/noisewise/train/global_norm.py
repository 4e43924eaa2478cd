"""Batch normalisation over the global batch: the same network on any number of ranks, on GPUs and on CPUs.

torch's own SyncBatchNorm is for GPUs alone. The one for CPUs sums over ranks with autograd's all-reduce; it is checked,
forward, backward and running statistics, against torch's BatchNorm on one rank.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.distributed.nn.functional import all_reduce
from torch.nn.modules.batchnorm import _BatchNorm


class GlobalBatchNorm(_BatchNorm):
    """Batch normalisation [n, C, ...] whose moments are those of all ranks' rows; ranks may have unequal n."""

    def _check_input_dim(self, inputs: Tensor) -> None:
        if inputs.ndim < 2:
            raise ValueError(f"expected at least two dimensions, got {inputs.ndim}")

    def forward(self, inputs: Tensor) -> Tensor:
        if not self.training:
            return super().forward(inputs)
        self._check_input_dim(inputs)
        kind, inputs = inputs.dtype, inputs.float()  # moments of bfloat16 would have its 8 bits
        over = [0, *range(2, inputs.ndim)]
        count = inputs.new_tensor([inputs.numel() // inputs.shape[1]])
        sums = all_reduce(torch.cat([inputs.sum(over), count]))
        total, mean = sums[-1].detach(), sums[:-1] / sums[-1].detach()
        shape = (1, -1, *[1] * (inputs.ndim - 2))
        centred = inputs - mean.view(shape)
        variance = all_reduce(centred.square().sum(over)) / total
        if self.track_running_stats:
            self._track(mean.detach(), variance.detach() * (total / (total - 1)))
        scaled = centred * (variance + self.eps).rsqrt().view(shape)
        if self.affine:
            scaled = scaled * self.weight.view(shape) + self.bias.view(shape)
        return scaled.to(kind)

    @torch.no_grad()
    def _track(self, mean: Tensor, variance: Tensor) -> None:
        self.num_batches_tracked += 1
        self.running_mean.lerp_(mean, self.momentum)
        self.running_var.lerp_(variance, self.momentum)


def span_ranks(module: nn.Module, device: torch.device) -> None:
    """Make every batch normalisation in the module, in place, one over all ranks; weights and buffers stay theirs."""
    if device.type == "cuda":
        nn.SyncBatchNorm.convert_sync_batchnorm(module)
        return
    for name, child in module.named_children():
        if isinstance(child, _BatchNorm) and not isinstance(child, GlobalBatchNorm):
            setattr(module, name, _converted(child))
        else:
            span_ranks(child, device)


def _converted(norm: _BatchNorm) -> GlobalBatchNorm:
    new = GlobalBatchNorm(norm.num_features, norm.eps, norm.momentum, norm.affine, norm.track_running_stats)
    new._parameters, new._buffers = norm._parameters, norm._buffers  # the tensors themselves: an optimiser holds them
    new.train(norm.training)
    return new
