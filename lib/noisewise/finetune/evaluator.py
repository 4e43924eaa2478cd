"""Scores of a fine-tuning, epoch by epoch, and the model of its best epoch."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np

from noisewise.data.loader import ImageSource
from noisewise.data.noise import LabelSet
from noisewise.data.pack import Pack
from noisewise.evaluate.memorisation import memorisation
from noisewise.evaluate.passes import Pass
from noisewise.evaluate.scores import score
from noisewise.evaluate.selection import BY_CLASS, SCORES, best_and_last
from noisewise.finetune.method import FinetuneMethod
from noisewise.finetune.validation import validation_labels
from noisewise.runs.config import Finetune, Noise
from noisewise.runs.files import replacing
from noisewise.runs.folder import RunFolder
from noisewise.train import checkpoint
from noisewise.train.ranks import Ranks


class Evaluator:
    """Scores a method on validation and test labels; every rank predicts a part of the images.

    Test labels are clean, unless the dataset's given labels are all that it has; by which validation labels the best
    epoch is chosen, `selected_by` says (`validation_labels`). Leaves in the run's folder

    - of the epoch with the best validation F1, `model.pt`, and `predictions.npz`: the test images' sample numbers
      `index` [n], `probabilities` [n, C], `labels` [n], and `epoch`;
    - `train_predictions.npz` (`keep_training_predictions`).
    """

    def __init__(
        self,
        run: Finetune,
        noise: Noise,
        folder: RunFolder,
        method: FinetuneMethod,
        pack: Pack,
        source: ImageSource,
        ranks: Ranks,
    ) -> None:
        self.run = run
        self.folder = folder
        self.method = method
        self.pack = pack
        self.source = source
        self.ranks = ranks
        validation, self.selected_by = validation_labels(pack, noise, run.recipe.select)
        self._labels = {"val": validation, "test": pack.labels[pack.indices("test")]}
        self._pass = Pass.of(run, source, ranks)
        self._test: tuple[int, np.ndarray] | None = None  # the epoch that was scored last, and what it predicted

    def score_epoch(self, epoch: int) -> dict[str, Any]:
        """`val_f1`, `test_f1`, `val_accuracy` and so on, of the method as it is."""
        self.ranks.same_buffers(self.method)
        scores = {}
        for split, labels in self._labels.items():
            probabilities = self.predict(self.pack.indices(split))
            found = score(probabilities, labels)
            scores |= {f"{split}_{name}": getattr(found, name) for name in (*SCORES, BY_CLASS)}
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
        index, labels = self.pack.indices("test"), self._labels["test"]
        with replacing(self.folder.predictions, "wb") as file:
            np.savez(file, index=index, probabilities=self._test[1], labels=labels, epoch=epoch)

    def keep_training_predictions(self, train: np.ndarray, noisy: LabelSet) -> None:
        """Write `train_predictions.npz`: what the last and the best epoch's method say of the training images.

        `index` [n], their sample numbers, as `train`; `given` and `clean` [n], the labels trained on and those that
        are true if `known`; `best` and `last`, float32 [n, C]; `best_epoch`. To be called when training is over, for
        it leaves the method as it was at the best epoch. Costs two passes over the training images without gradients a
        run, together 0.6 of the time that an epoch's training takes (ResNet-18 at 64 px on a CPU).
        """
        self.method.eval()
        last = self.predict(train)
        self.ranks.barrier()  # the first rank has written its model
        self.method.load_state_dict(checkpoint.load(self.folder.model))
        best = self.predict(train)
        if not self.ranks.first:
            return
        with np.load(self.folder.predictions) as kept:
            epoch = kept["epoch"]
        known = noisy.realised_rate is not None
        labels = {"index": train, "given": noisy.labels, "clean": noisy.clean, "known": known}
        with replacing(self.folder.train_predictions, "wb") as file:
            np.savez(file, **labels, best=best, last=last, best_epoch=epoch)

    def final_scores(self, history: list[dict[str, Any]]) -> dict[str, Any]:
        """Best and last scores, the per-class ones at the best epoch, and how far wrong labels were learnt."""
        with np.load(self.folder.predictions) as kept:
            found = score(kept["probabilities"], kept["labels"])
        return {
            **best_and_last(history, self.run.recipe.last_epochs),
            "val_f1_best": max(record["val_f1"] for record in history),
            "f1_per_class_best": found.f1_per_class,
            "confusion_best": found.confusion,
            "selected_by": self.selected_by,
            **self._memorisation(),
        }

    def _memorisation(self) -> dict[str, float | None]:
        """`memorised_best`, `memorised_last` and so on, of these epochs' methods."""
        scores = {}
        with np.load(self.folder.train_predictions) as kept:
            clean = kept["clean"] if kept["known"] else None
            for epoch in ("best", "last"):
                found = asdict(memorisation(kept[epoch], kept["given"], clean))
                scores |= {f"{name}_{epoch}": value for name, value in found.items()}
        return scores

    def predict(self, indices: np.ndarray) -> np.ndarray:
        """Class probabilities, float32 [n, C], of the pack's samples `indices`, by the method in evaluation mode."""
        return self._pass.over(indices, self.method.predict, len(self.pack.classes)).cpu().numpy()
