"""How a grid stands: python jobs/status.py grid=NAME [runs=DIR] [json=true] [watch=SECONDS]

With the keys that the grid was submitted with (seeds=1 data.fraction=0.1), it looks at the same runs.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field
from pathlib import Path

from noisewise import cli
from noisewise.errors import UserError
from noisewise.grid.expand import Grid, read_grid
from noisewise.launch.status import describe, status


@dataclass
class Words:
    grid: str = field(metadata={"help": "which grid"})
    recipe: str = field(default="", metadata={"help": "instead of the grid's: a file in jobs/recipe/, or a path"})
    cluster: str = field(default="local", metadata={"help": "as submit takes it; does not matter here"})
    runs: str = field(default="runs", metadata={"help": "the runs folder"})
    data: str = field(default="data", metadata={"help": "as submit takes it; does not matter here"})
    json: bool = field(default=False, metadata={"help": "for scripts"})
    watch: float = field(default=0.0, metadata={"help": "seconds between looks; 0: one look"})


def main(words: list[str]) -> int:
    asked, overrides = cli.parse(words, Words, extra=True)
    overrides.pop("cluster", None)
    grid, root = read_grid(asked.grid, overrides, asked.recipe), cli.folder(asked.runs)
    if asked.watch < 0:
        raise UserError(f"watch is {asked.watch:g}; it must be at least 0.")
    while True:
        standing = _show(grid, root, asked.json)
        if not asked.watch:
            return cli.SOME_FAILED if standing["failures"] else cli.DONE
        time.sleep(asked.watch)


def _show(grid: Grid, root: Path, as_json: bool) -> dict:
    standing = status(grid, root)
    print(json.dumps(standing, indent=1) if as_json else "\n".join(describe(standing)), flush=True)
    return standing


if __name__ == "__main__":
    cli.run(main, __doc__, Words)
