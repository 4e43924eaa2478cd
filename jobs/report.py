"""Build the report of a grid, finished or not: python jobs/report.py grid=NAME [runs=DIR] [out=DIR]"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from noisewise import cli
from noisewise.grid.expand import read_grid


@dataclass
class Words:
    grid: str = field(metadata={"help": "which grid"})
    runs: str = field(default="runs", metadata={"help": "the runs folder"})
    out: str = field(default="", metadata={"help": "the report's folder (default: report/GRID in the runs folder)"})


def main(words: list[str]) -> int:
    asked, overrides = cli.parse(words, Words, extra=True)
    grid = read_grid(asked.grid, overrides)
    from noisewise.report.build import build_report

    out = Path(asked.out or Path(asked.runs) / "report" / grid.name)
    built = build_report(grid.finetunes, Path(asked.runs), out, grid.name)
    print("\n".join(built.answer) + f"\n\nreport: {built.page}")
    return cli.DONE


if __name__ == "__main__":
    cli.run(main, __doc__, Words)
