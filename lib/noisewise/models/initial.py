"""The encoder that a run starts from: random, ImageNet's weights, or another run's."""

from __future__ import annotations

from pathlib import Path

from torch import nn

from noisewise.errors import RunError
from noisewise.models import weights
from noisewise.models.backbone import build_backbone
from noisewise.runs.config import Finetune, GroupProbe, Pretrain
from noisewise.runs.folder import RunFolder, Settings
from noisewise.runs.recipe import Recipe


def build_encoder(run: Pretrain | Finetune, folder: RunFolder, settings: Settings) -> tuple[nn.Module, str]:
    """The run's backbone with its initial weights, as `initial_encoder`."""
    return initial_encoder(run.init, run.recipe, folder, settings)


def initial_encoder(
    init: str | Pretrain, network: Recipe | GroupProbe, folder: RunFolder, settings: Settings
) -> tuple[nn.Module, str]:
    """A backbone with initial weights, and a sentence on what was loaded.

    network: has the backbone, its stem and resolution. folder: of a run in the runs folder that `init` is in, too.

    Random weights come from torch's global generator: seed it first.

    Raises:
        RunError: data or config, if the weights are not there or of another architecture.
    """
    encoder = build_backbone(network.backbone, network.stem, network.resolution)
    if init == "random":
        return encoder, "random initial weights"
    if init == "imagenet":
        path = weights.imagenet(network.backbone, Path(settings.data))
    else:
        path = folder.parent(init).encoder
        if not path.exists():
            raise RunError(
                "data",
                f"the pretraining {init.name} has left no {path}",
                f"Remove the folder {folder.parent(init).path} and submit again: it is run anew.",
            )
    return encoder, f"{path.name}: {weights.load(encoder, path)}"
