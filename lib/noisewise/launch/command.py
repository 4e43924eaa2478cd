"""The command line of a payload; pure."""

from __future__ import annotations

import sys
from pathlib import Path


def payload_command(folder: Path, python: str = sys.executable) -> list[str]:
    """What the host-side task starts for a run's folder."""
    return [python, "-u", "-m", "noisewise.launch.payload", str(folder)]
