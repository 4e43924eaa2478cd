"""One fine-tuning on noisy labels, here and now, with the pretraining that it needs:

python jobs/finetune.py dataset=NAME init=simclr method=coteaching noise=symmetric rate=0.5 [seed=...] [key=value ...]

Other keys are the method's (epochs=20 lr=0.01 ...); data.fraction=0.1 takes a tenth of the training images,
for the pretraining too. audit=true, for a run that is done, too, shows the labels that are probably wrong: it prints
the estimated noise rate, and makes audit.html in the run's folder, beside the audit.csv that every run leaves.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from noisewise import cli
from noisewise.grid import noises
from noisewise.grid.single import single_finetune
from noisewise.launch.here import run_here_and_now
from noisewise.launch.submit import make_settings
from noisewise.runs.folder import RunFolder


@dataclass
class Words:
    dataset: str = field(metadata={"help": "which images"})
    method: str = field(metadata={"help": "how to learn from noisy labels"})
    init: str = field(default="random", metadata={"help": "what to start from: random, imagenet, simclr, ..."})
    noise: str = field(default="none", metadata={"help": "kind of label noise"})
    rate: float = field(default=0.0, metadata={"help": "its rate, at least 0 and below 1"})
    matrix: str = field(default="", metadata={"help": "of noise=transition: a YAML file of probabilities"})
    seed: int = field(default=0, metadata={"help": "of everything random, the noise too"})
    audit: bool = field(default=False, metadata={"help": "show which labels are probably wrong"})
    recipe: str = field(default="paper", metadata={"help": "hyper-parameters"})
    data: str = field(default="data", metadata={"help": "the data folder"})
    runs: str = field(default="runs", metadata={"help": "the runs folder"})
    wandb: str = field(default="off", metadata={"help": "off, offline or online"})
    device: str = field(default="auto", metadata={"help": "auto, cpu or cuda"})
    threads: int = field(default=0, metadata={"help": "CPU threads a process (0: as torch likes)"})


def main(words: list[str]) -> int:
    asked, overrides = cli.parse(words, Words, extra=True)
    noise = noises.one(asked.noise, asked.rate, asked.matrix, "the command line")
    run = single_finetune(asked.dataset, asked.init, asked.method, noise, asked.seed, asked.recipe, overrides)
    settings = make_settings(asked.data, asked.threads, asked.device, asked.wandb)

    def show_audit(folder: RunFolder) -> list[str]:
        from noisewise.audit.gallery import write_gallery  # needs more than planning does

        return write_gallery(run, folder, settings)

    return run_here_and_now(run, cli.folder(asked.runs), settings, show_audit if asked.audit else None)


if __name__ == "__main__":
    cli.run(main, __doc__, Words)
