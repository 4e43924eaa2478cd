"""How a grid stands: python jobs/status.py grid=NAME [runs=DIR] [json=true] [watch=SECONDS]"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field
from pathlib import Path

from noisewise import cli
from noisewise.grid.expand import Grid, read_grid
from noisewise.launch.status import describe, status


@dataclass
class Words:
    grid: str = field(metadata={"help": "which grid"})
    runs: str = field(default="runs", metadata={"help": "the runs folder"})
    json: bool = field(default=False, metadata={"help": "for scripts"})
    watch: float = field(default=0.0, metadata={"help": "seconds between looks; 0: one look"})


def main(words: list[str]) -> int:
    asked, overrides = cli.parse(words, Words, extra=True)
    grid, root = read_grid(asked.grid, overrides), Path(asked.runs)
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
