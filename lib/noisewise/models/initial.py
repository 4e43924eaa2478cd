"""The encoder that a run starts from: random, ImageNet's weights, or another run's."""

from __future__ import annotations

from pathlib import Path

from torch import nn

from noisewise.errors import RunError
from noisewise.models import weights
from noisewise.models.backbone import build_backbone
from noisewise.runs.config import Finetune, Pretrain
from noisewise.runs.folder import RunFolder, Settings


def build_encoder(run: Pretrain | Finetune, folder: RunFolder, settings: Settings) -> tuple[nn.Module, str]:
    """The run's backbone with its initial weights, and a sentence on what was loaded.

    Random weights come from torch's global generator: seed it first.

    Raises:
        RunError: data or config, if the weights are not there or of another architecture.
    """
    recipe = run.recipe
    encoder = build_backbone(recipe.backbone, recipe.stem, recipe.resolution)
    if run.init == "random":
        return encoder, "random initial weights"
    if run.init == "imagenet":
        path = weights.imagenet(recipe.backbone, Path(settings.data))
    else:
        path = folder.parent(run.init).encoder
        if not path.exists():
            raise RunError(
                "data",
                f"the pretraining {run.init.name} has left no {path}",
                f"Remove the folder {folder.parent(run.init).path} and submit again: it is run anew.",
            )
    return encoder, f"{path.name}: {weights.load(encoder, path)}"
