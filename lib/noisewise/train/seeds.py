"""Randomness without a state: every draw is a function of (seed, purpose, place), so a resumed run draws the same."""

from __future__ import annotations

import hashlib

import numpy as np
import torch


def mix(*parts: object) -> int:
    """A 63-bit seed from anything that has a stable `repr`: numbers and strings."""
    digest = hashlib.blake2b(repr(parts).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


def torch_generator(*parts: object) -> torch.Generator:
    """A CPU generator for this purpose and place."""
    return torch.Generator().manual_seed(mix(*parts))


def numpy_generator(*parts: object) -> np.random.Generator:
    """A numpy generator for this purpose and place."""
    return np.random.Generator(np.random.PCG64(mix(*parts)))


def seed_everything(*parts: object) -> None:
    """Seed torch's global generators (initial weights, dropout) on every device."""
    torch.manual_seed(mix(*parts))
