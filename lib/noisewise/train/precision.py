"""In which numbers the network computes."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch


def autocast(precision: str, device: torch.device) -> AbstractContextManager:
    """bfloat16 autocast where the recipe and the device call for it.

    "auto" is bfloat16 on a GPU that computes in it, and float32 elsewhere: a CPU without bfloat16 instructions is
    ten times slower with it.
    """
    wanted = precision == "bf16" or (
        precision == "auto" and device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
    )
    return torch.autocast(device.type, torch.bfloat16) if wanted else nullcontext()
