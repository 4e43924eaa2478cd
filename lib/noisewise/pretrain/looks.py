"""Looks at a method while it trains: how good its encoder is, and what it draws."""

from __future__ import annotations

from typing import Any

import torch
from torchvision.utils import save_image

from noisewise.data.loader import ImageSource
from noisewise.data.pack import Pack
from noisewise.pretrain.method import PretrainMethod
from noisewise.pretrain.prober import Prober, check
from noisewise.runs.config import Pretrain
from noisewise.runs.files import replacing
from noisewise.runs.folder import RunFolder
from noisewise.train.ranks import Ranks

PICTURED = 8  # validation images that pictures are made from


class Looks:
    """Probes the encoder before the first epoch, every `probe_epochs` and at the end, on clean labels.

    Nothing that is learnt depends on a look: it draws no random numbers and changes no weights.
    """

    def __init__(
        self, run: Pretrain, folder: RunFolder, method: PretrainMethod, pack: Pack, source: ImageSource, ranks: Ranks
    ) -> None:
        self.run = run
        self.folder = folder
        self.method = method
        self.pack = pack
        self.source = source
        self.ranks = ranks
        self.prober = Prober(run, method.encoder, pack, source, ranks)

    def begin(self) -> dict[str, Any]:
        """Of the initial weights: what every later look is compared with."""
        return self.prober()

    def end_epoch(self, epoch: int) -> dict[str, Any]:
        """What joins the epoch's metrics: the probes' values and the pictures' files, where a look is due.

        Raises:
            RunError: nan or collapse, if the features are no longer worth training on.
        """
        every, last = self.run.recipe.probe_epochs, epoch + 1 == self.run.recipe.epochs
        if not (last or (every and (epoch + 1) % every == 0)):
            return {}
        values: dict[str, Any] = self.prober()
        check(values)
        if self.ranks.first and (pictures := self._draw(epoch)):
            values["pictures"] = pictures
        return values

    @torch.inference_mode()
    def _draw(self, epoch: int) -> dict[str, str]:
        """Write the method's pictures; their names and files, relative to the run's folder."""
        (images,) = self.source.batches([self.pack.indices("val")[:PICTURED]])
        files = {}
        for name, picture in self.method.pictures(images).items():
            self.folder.pictures.mkdir(exist_ok=True)
            path = self.folder.pictures / f"{name}-{epoch + 1:04}.png"
            with replacing(path, "wb") as file:
                save_image(picture.float(), file, format="png", nrow=PICTURED)
            files[name] = str(path.relative_to(self.folder.path))
        return files
