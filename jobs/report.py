"""Build the report of a grid, finished or not: python jobs/report.py grid=NAME [runs=DIR] [out=DIR]

With the keys that the grid was submitted with (seeds=1 data.fraction=0.1), it reports the same runs.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from noisewise import cli
from noisewise.grid.expand import read_grid


@dataclass
class Words:
    grid: str = field(metadata={"help": "which grid"})
    recipe: str = field(default="", metadata={"help": "instead of the grid's: a file in jobs/recipe/, or a path"})
    cluster: str = field(default="local", metadata={"help": "as submit takes it; does not matter here"})
    runs: str = field(default="runs", metadata={"help": "the runs folder"})
    data: str = field(default="data", metadata={"help": "as submit takes it; does not matter here"})
    out: str = field(default="", metadata={"help": "the report's folder (default: report/GRID in the runs folder)"})


def main(words: list[str]) -> int:
    asked, overrides = cli.parse(words, Words, extra=True)
    overrides.pop("cluster", None)
    grid = read_grid(asked.grid, overrides, asked.recipe)
    from noisewise.report.build import build_report

    root = cli.folder(asked.runs)
    out = cli.folder(asked.out) if asked.out else root / "report" / grid.name
    built = build_report(grid.finetunes, root, out, grid.name, grid.missing)
    print("\n".join(built.answer) + f"\n\nreport: {built.page}")
    return cli.DONE


if __name__ == "__main__":
    cli.run(main, __doc__, Words)
