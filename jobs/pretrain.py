"""One pretraining, here and now:

python jobs/pretrain.py dataset=NAME method=simclr [init=...] [seed=...] [key=value ...]

Other keys are the method's (epochs=100 batch=256 ...); data.fraction=0.1 takes a tenth of the training images.
With torchrun, one process a GPU:
torchrun --nproc-per-node=4 jobs/pretrain.py dataset=NAME method=simclr
"""

from __future__ import annotations

from dataclasses import dataclass, field

from noisewise import cli
from noisewise.grid.single import single_pretrain
from noisewise.launch.here import run_here_and_now
from noisewise.launch.submit import make_settings


@dataclass
class Words:
    dataset: str = field(metadata={"help": "which images"})
    method: str = field(metadata={"help": "how to learn from them"})
    init: str = field(default="random", metadata={"help": "what to start from"})
    seed: int = field(default=0, metadata={"help": "of everything random"})
    recipe: str = field(default="paper", metadata={"help": "hyper-parameters"})
    data: str = field(default="data", metadata={"help": "the data folder"})
    runs: str = field(default="runs", metadata={"help": "the runs folder"})
    wandb: str = field(default="off", metadata={"help": "off, offline or online"})
    device: str = field(default="auto", metadata={"help": "auto, cpu or cuda"})
    threads: int = field(default=0, metadata={"help": "CPU threads a process (0: as torch likes)"})


def main(words: list[str]) -> int:
    asked, overrides = cli.parse(words, Words, extra=True)
    run = single_pretrain(asked.dataset, asked.method, asked.init, asked.seed, asked.recipe, overrides)
    settings = make_settings(asked.data, asked.threads, asked.device, asked.wandb)
    return run_here_and_now(run, cli.folder(asked.runs), settings)


if __name__ == "__main__":
    cli.run(main, __doc__, Words)
