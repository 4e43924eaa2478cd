"""Scores of a fine-tuning, epoch by epoch, and the model of its best epoch."""

from __future__ import annotations

from typing import Any

import numpy as np

from noisewise.data.loader import ImageSource
from noisewise.data.pack import Pack
from noisewise.evaluate.scores import score
from noisewise.evaluate.selection import best_and_last
from noisewise.finetune.method import FinetuneMethod
from noisewise.finetune.passes import Pass
from noisewise.runs.config import Finetune
from noisewise.runs.files import replacing
from noisewise.runs.folder import RunFolder
from noisewise.train import checkpoint
from noisewise.train.ranks import Ranks

SCORES = ("f1", "accuracy", "balanced_accuracy", "auroc")


class Evaluator:
    """Scores a method on clean validation and test labels; every rank predicts a part of the images.

    Leaves in the run's folder, of the epoch with the best validation F1: `model.pt`, and `predictions.npz` with the
    test images' probabilities [n, C], labels [n] and the epoch.
    """

    def __init__(
        self, run: Finetune, folder: RunFolder, method: FinetuneMethod, pack: Pack, source: ImageSource, ranks: Ranks
    ) -> None:
        self.run = run
        self.folder = folder
        self.method = method
        self.pack = pack
        self.source = source
        self.ranks = ranks
        self._pass = Pass(run, source, ranks)
        self._test: tuple[int, np.ndarray] | None = None  # the epoch that was scored last, and what it predicted

    def score_epoch(self, epoch: int) -> dict[str, Any]:
        """`val_f1`, `test_f1`, `val_accuracy` and so on, of the method as it is."""
        self.ranks.same_buffers(self.method)
        scores = {}
        for split in ("val", "test"):
            indices = self.pack.indices(split)
            probabilities = self.predict(indices)
            found = score(probabilities, self.pack.labels[indices])
            scores |= {f"{split}_{name}": getattr(found, name) for name in SCORES}
        self._test = (epoch, probabilities)
        return scores

    def keep_best(self, history: list[dict[str, Any]]) -> None:
        """Keep the method and its predictions, if the last epoch is the best so far.

        Called when that epoch is in the checkpoint: whenever a kill comes, what is kept fits the history.
        """
        if not history or any(record["val_f1"] >= history[-1]["val_f1"] for record in history[:-1]):
            return
        epoch = history[-1]["epoch"]
        if self._test is None or self._test[0] != epoch:  # resumed right behind it
            self.method.eval()
            self._test = (epoch, self.predict(self.pack.indices("test")))
        if not self.ranks.first:
            return
        checkpoint.save_weights(self.folder.model, self.method)
        labels = self.pack.labels[self.pack.indices("test")]
        with replacing(self.folder.predictions, "wb") as file:
            np.savez(file, probabilities=self._test[1], labels=labels, epoch=epoch)

    def final_scores(self, history: list[dict[str, Any]]) -> dict[str, Any]:
        """Best and last scores, and the per-class ones at the best epoch."""
        with np.load(self.folder.predictions) as kept:
            found = score(kept["probabilities"], kept["labels"])
        return {
            **best_and_last(history, self.run.recipe.last_epochs),
            "val_f1_best": max(record["val_f1"] for record in history),
            "f1_per_class_best": found.f1_per_class,
            "confusion_best": found.confusion,
        }

    def predict(self, indices: np.ndarray) -> np.ndarray:
        """Class probabilities, float32 [n, C], of the pack's samples `indices`, by the method in evaluation mode."""
        return self._pass.over(indices, self.method.predict, len(self.pack.classes)).cpu().numpy()
