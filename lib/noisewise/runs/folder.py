"""A run's folder, `runs/<stage>/<key>/`, and the state that its files say.

config.yaml      the run, whole                    written first
settings.json    what does not decide the result   data folder, tracking, threads
metrics.jsonl    one object a line
pictures/        what a pretraining draws, by epoch
audit.csv        the training labels, the most doubtful first   (audit.html: the same with the images, if asked for)
checkpoint.pt    the last step boundary saved      gone once the run is done
lease.json       somebody is at work on it
failure.json     why the last attempt failed
result.json      written last: it alone means done
provenance.json  code, versions, host, seconds
log/             what the processes said
"""

from __future__ import annotations

import enum
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from noisewise.errors import UserError
from noisewise.runs import lease
from noisewise.runs.config import Run, from_dict, to_dict
from noisewise.runs.failure import ADVICE, Failure
from noisewise.runs.files import read_json, replacing, write_json
from noisewise.runs.schema import build


class State(enum.Enum):
    """How a run stands. LOST: it was begun, nobody is at work on it and nothing says why."""

    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    LOST = "lost"


@dataclass(frozen=True)
class Settings:
    """What a run needs to know that does not decide its result.

    data: the data folder. threads: CPU threads a rank (0: as torch likes). device: "auto", "cpu" or "cuda".
    wandb: "off", "offline" or "online". group: the wandb group, usually the grid.
    checkpoint_minutes: between checkpoints within an epoch; one is also written at every epoch's end.
    """

    data: str = "data"
    threads: int = 0
    device: str = "auto"
    wandb: str = "off"
    wandb_project: str = "noisewise"
    group: str = ""
    checkpoint_minutes: float = 10.0


class RunFolder:
    """The files of one run. Making the object touches nothing."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.config = self.path / "config.yaml"
        self.settings = self.path / "settings.json"
        self.metrics = self.path / "metrics.jsonl"
        self.checkpoint = self.path / "checkpoint.pt"
        self.encoder = self.path / "encoder.pt"
        self.model = self.path / "model.pt"
        self.predictions = self.path / "predictions.npz"
        self.train_predictions = self.path / "train_predictions.npz"
        self.audit = self.path / "audit.csv"
        self.gallery = self.path / "audit.html"
        self.pictures = self.path / "pictures"
        self.lease = self.path / "lease.json"
        self.failure = self.path / "failure.json"
        self.result = self.path / "result.json"
        self.provenance = self.path / "provenance.json"
        self.log = self.path / "log"

    @classmethod
    def of(cls, root: str | Path, run: Run) -> RunFolder:
        """The folder of a run under the runs folder `root`."""
        return cls(Path(root) / run.stage / run.key)

    @property
    def root(self) -> Path:
        """The runs folder that this folder lies in."""
        return self.path.parent.parent

    def parent(self, run: Run) -> RunFolder:
        """The folder of another run in the same runs folder."""
        return RunFolder.of(self.root, run)

    def create(self, run: Run, settings: Settings) -> None:
        """Write the run and its settings; safe to repeat, and settings may change between attempts."""
        self.log.mkdir(parents=True, exist_ok=True)
        text = yaml.dump(to_dict(run), sort_keys=False, default_flow_style=None, width=1000)
        if not self.config.exists() or self.config.read_text(encoding="utf-8") != text:
            with replacing(self.config) as file:
                file.write(text)
        if self.settings.exists() and read_json(self.settings) == asdict(settings):
            return
        write_json(self.settings, asdict(settings))

    def read_run(self) -> Run:
        """The run that the folder is of.

        Raises:
            UserError: there is no config, or it is not the run that the folder's name says.
        """
        try:
            values = yaml.safe_load(self.config.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise UserError(f"{self.path} is no run folder: it has no config.yaml.") from None
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            raise UserError(f"{self.config} is no YAML: {error}. Remove {self.path} and submit again.") from None
        run = from_dict(values, str(self.config))
        if (run.stage, run.key) != (self.path.parent.name, self.path.name):
            raise UserError(
                f"{self.config} was changed by hand or by another version of noisewise: its key is now {run.key}. "
                f"Remove the folder {self.path} and submit again."
            )
        return run

    def read_settings(self) -> Settings:
        values = build(Settings, read_json(self.settings) or {}, str(self.settings))
        return replace(values, data=str(Path(values.data).expanduser()))

    def read_result(self) -> dict[str, Any] | None:
        """What the run found, None while it is not done.

        Raises:
            ValueError: the file is damaged.
        """
        return read_json(self.result)

    def glance(self) -> dict[str, Any]:
        """The result for those who can do without: empty where there is none that can be read."""
        try:
            values = read_json(self.result)
        except (ValueError, OSError):
            return {}
        return values if isinstance(values, dict) else {}

    def read_failure(self) -> Failure | None:
        """Why the last attempt failed, None if it did not; a file that cannot be read is a failure, too."""
        try:
            values = read_json(self.failure)
            return Failure(**values) if values is not None else None
        except (ValueError, TypeError, OSError) as error:
            return Failure("bug", f"it failed, and {self.failure} cannot be read: {error}", ADVICE["bug"])

    def state(self) -> State:
        """What the files say, in order: a result, a living lease, a failure, traces of a beginning."""
        if self.result.exists():
            return State.DONE
        if lease.alive(self.lease):
            return State.RUNNING
        if self.failure.exists():
            return State.FAILED
        if self.result.exists():  # it ended while we looked
            return State.DONE
        return State.LOST if self.lease.exists() else State.WAITING
