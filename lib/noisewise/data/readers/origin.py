"""Where a dataset comes from that nobody can fetch but the user, for errors when it is not there, or not whole."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from pathlib import Path

from noisewise.errors import RunError

ENTRIES = 5  # how many entries of a folder an error names
NAMED = 3  # and how many missing files


@dataclass(frozen=True)
class Origin:
    """A published dataset and how to come by it.

    title: its name. page: where it is downloaded. size: of the download, about.
    terms: its licence or agreement. tree: what a whole copy holds, a few lines.
    """

    title: str
    page: str
    size: str
    terms: str
    tree: str

    def advice(self, root: Path) -> str:
        """What to do without a whole copy at `root`."""
        return (
            f"Download it (about {self.size}) from {self.page}\n"
            f"Terms: {self.terms}\n"
            f"Unpack it into {root}, which then holds, there or further down:\n"
            f"{textwrap.indent(textwrap.dedent(self.tree).strip(), '  ')}"
        )


def absent(origin: Origin, root: Path, lacking: str) -> RunError:
    """The error for a dataset that is not at `root`, or not whole; `lacking` says what was looked for in vain."""
    what = f"{lacking}. Found there: {_found(root)}" if root.exists() else "there is no such folder"
    return RunError("data", f"{root} does not hold {origin.title}: {what}", origin.advice(root))


def _found(root: Path) -> str:
    if not root.is_dir():
        return "a file, where a folder should be"
    names = sorted(path.name + "/" * path.is_dir() for path in root.iterdir() if not path.name.startswith("."))
    if len(names) > ENTRIES:
        names[ENTRIES:] = [f"and {len(names) - ENTRIES} more"]
    return ", ".join(names) or "nothing: the folder is empty"
