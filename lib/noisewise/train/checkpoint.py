"""Tensors to disk and back, each file replaced in one step."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import torch
from torch import nn

from noisewise.errors import RunError
from noisewise.runs.files import replacing


def save(path: Path, state: Any) -> None:
    """Write tensors and plain values; a kill at any instant leaves the old file or the new one.

    Raises:
        OSError: it could not be written, as on a full disk; the old file is still there.
    """
    with replacing(path, "wb") as file:
        try:
            torch.save(state, file)
        except RuntimeError as error:  # torch stumbles over what a failed write leaves, and hides why it failed
            raise error.__context__ if isinstance(error.__context__, OSError) else error from None


def save_weights(path: Path, module: nn.Module) -> None:
    """Write a module's state for others to start from: on the CPU and contiguous, so that any machine can read it."""
    save(path, {name: value.detach().cpu().contiguous() for name, value in module.state_dict().items()})


def load(path: Path) -> Any:
    """What `save` wrote, on the CPU, or None where there is no file.

    Raises:
        RunError: data, if the file is damaged.
    """
    if not path.exists():
        return None
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, EOFError, pickle.UnpicklingError) as error:
        advice = f"Remove {path} and submit again; its run starts over."
        raise RunError("data", f"{path} is damaged: {error}", advice) from error
