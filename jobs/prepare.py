"""Turn a dataset's images into a pack: python jobs/prepare.py dataset=NAME [data=DIR]

NAME is a file in jobs/dataset/, or a path to a YAML file of your own.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from noisewise import cli
from noisewise.grid.single import single_prepare
from noisewise.launch.here import run_here_and_now
from noisewise.launch.submit import make_settings


@dataclass
class Words:
    dataset: str = field(metadata={"help": "which images"})
    data: str = field(default="data", metadata={"help": "the data folder: raw images in, packs out"})
    runs: str = field(default="runs", metadata={"help": "the runs folder"})
    size: int = field(default=0, metadata={"help": "side of the pack's squares in pixels (default: the dataset's)"})


def main(words: list[str]) -> int:
    asked, _ = cli.parse(words, Words)
    run = single_prepare(asked.dataset, asked.size)
    return run_here_and_now(run, cli.folder(asked.runs), make_settings(asked.data))


if __name__ == "__main__":
    cli.run(main, __doc__, Words)
