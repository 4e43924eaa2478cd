"""SimCLR beside lightly's, on the same images, network, epochs and augmentations: python bench/simclr_peer.py

lightly's loss, projection head and transforms (on PIL images) and torchvision's ResNet-18, trained by a plain loop of
torch's; noisewise's by jobs/pretrain.py's own way. Images and recipe are those of bench/pretrain_quality.py, and one
kNN probe scores both. Words: seeds=3 runs=DIR data=DIR, as there, with whose folders it shares noisewise's runs.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field

import numpy as np
import torch
from lightly.loss import NTXentLoss
from lightly.models.modules.heads import SimCLRProjectionHead
from lightly.transforms import SimCLRTransform
from PIL import Image
from pretrain_quality import RUNS, make_run, result, spread
from torch import nn
from torch.utils.data import DataLoader
from torchvision.models import resnet18

from noisewise import cli
from noisewise.data.augment import BLUR_AT, BLUR_SIGMA, evaluation_view
from noisewise.data.pack import Pack, pack_folder
from noisewise.data.subset import training_images
from noisewise.evaluate.features import probe_images
from noisewise.evaluate.probes import knn_f1
from noisewise.runs.config import Pretrain
from noisewise.train.schedule import learning_rate
from noisewise.train.seeds import seed_everything

COLUMNS = ("initial_knn_f1", "knn_f1", "gain", "wall_seconds")


@dataclass
class Words:
    seeds: int = field(default=3, metadata={"help": "of the initial weights and the order of the images"})
    dataset: str = field(default="elpv", metadata={"help": "which images"})
    threads: int = field(default=0, metadata={"help": "CPU threads (0: as torch likes)"})
    data: str = field(default="data", metadata={"help": "the data folder"})
    runs: str = field(default=RUNS, metadata={"help": "the runs folder"})


def main(words: list[str]) -> int:
    asked, _ = cli.parse(words, Words)
    print("| SimCLR | " + " | ".join(COLUMNS) + " | knn_f1 by seed |")
    print("| --- |" + " ---: |" * (len(COLUMNS) + 1))
    if asked.threads:
        torch.set_num_threads(asked.threads)
    ours = [result(asked, "simclr", seed) for seed in range(asked.seeds)]
    _row("noisewise", ours)
    run = make_run(asked.dataset, "simclr", 0)
    pack = Pack.open(pack_folder(cli.folder(asked.data), run.prepare))
    _row("lightly", [train(run, pack, seed) for seed in range(asked.seeds)])
    return cli.DONE


def _row(name: str, results: list[dict[str, float]]) -> None:
    for scores in results:
        scores["gain"] = scores["knn_f1"] - scores["initial_knn_f1"]
    cells = [spread([scores[column] for scores in results]) for column in COLUMNS]
    by_seed = ", ".join(f"{scores['knn_f1']:.3f}" for scores in results)
    print(f"| {name} | {' | '.join(cells)} | {by_seed} |", flush=True)


def train(run: Pretrain, pack: Pack, seed: int) -> dict[str, float]:
    """A run of lightly's SimCLR, scored before and after."""
    recipe, began = run.recipe, time.monotonic()
    seed_everything("peer", seed)
    network = resnet18(num_classes=recipe.projector_hidden)
    features = network.fc.in_features
    network.fc = nn.Identity()
    head = SimCLRProjectionHead(features, recipe.projector_hidden, recipe.projector_out, batch_norm=False)
    optimiser = torch.optim.Adam(
        [*network.parameters(), *head.parameters()], lr=recipe.lr, weight_decay=recipe.weight_decay
    )
    loss_of = NTXentLoss(recipe.temperature)
    images = [(Image.fromarray(pixels), 0) for pixels in read(pack, training_images(pack, 1.0))]
    loader = DataLoader(Views(images, transform(run)), recipe.batch, shuffle=True, drop_last=True)
    initial = score(run, pack, network)
    for epoch in range(recipe.epochs):
        network.train()
        for step, views in enumerate(loader):
            for group in optimiser.param_groups:
                group["lr"] = learning_rate(recipe, epoch + (step + 0.5) / len(loader))
            first, second = (head(network(view)) for view in views)
            loss = loss_of(first, second)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
    final = score(run, pack, network)
    return {"initial_knn_f1": initial, "knn_f1": final, "wall_seconds": time.monotonic() - began}


@dataclass
class Views(torch.utils.data.Dataset):
    """Images and what makes two views of each."""

    images: list[tuple[Image.Image, int]]
    transform: SimCLRTransform

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> list[torch.Tensor]:
        return self.transform(self.images[index][0])


def transform(run: Pretrain) -> SimCLRTransform:
    """lightly's transforms with the recipe's settings."""
    config, size = run.recipe.augmentation, run.recipe.resolution
    return SimCLRTransform(
        input_size=size,
        cj_prob=config.jitter_p,
        cj_bright=config.brightness,
        cj_contrast=config.contrast,
        cj_sat=config.saturation,
        cj_hue=config.hue,
        min_scale=config.crop_min,
        random_gray_scale=config.grey_p,
        gaussian_blur=config.blur_p,
        sigmas=tuple(sigma * size / BLUR_AT for sigma in BLUR_SIGMA),
        hf_prob=0.5 if run.allowed.hflip else 0.0,
        vf_prob=0.5 if run.allowed.vflip else 0.0,
        normalize={"mean": list(run.normalise.mean), "std": list(run.normalise.std)},
    )


def read(pack: Pack, indices: np.ndarray) -> np.ndarray:
    """The pack's images, uint8 [n, S, S, 3], by memory map."""
    beton, length = np.memmap(pack.beton, np.uint8, "r"), pack.size**2 * 3
    starts = pack.offsets[indices].tolist()
    return np.stack([beton[start : start + length].reshape(pack.size, pack.size, 3) for start in starts])


@torch.inference_mode()
def score(run: Pretrain, pack: Pack, network: nn.Module) -> float:
    """The kNN probe's macro-F1 on the validation images."""
    network.eval()
    parts = probe_images(pack)
    known = []
    for indices in parts:
        images = torch.from_numpy(read(pack, indices))
        views = [evaluation_view(block, run.recipe.resolution, run.normalise) for block in images.split(256)]
        known += [torch.cat([network(view) for view in views]).numpy(), pack.labels[indices]]
    return knn_f1(*known, len(pack.classes))


if __name__ == "__main__":
    cli.run(main, __doc__, Words)
