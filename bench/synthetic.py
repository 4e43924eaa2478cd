"""Made-up images in a real pack, and runs over them: what the GPU bench checks and times. Needs no FFCV."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from noisewise.data.augment import Augmenter
from noisewise.data.beton import checksums
from noisewise.data.loader import open_images
from noisewise.data.pack import BETON, Pack, write_index
from noisewise.models.backbone import build_backbone
from noisewise.models.heads import Classifier
from noisewise.runs.config import Finetune, Invariance, Noise, Normalise, Prepare, Pretrain
from noisewise.runs.folder import RunFolder, Settings
from noisewise.runs.methods import METHODS, exists
from noisewise.track import Tracker
from noisewise.train import order
from noisewise.train.control import Control
from noisewise.train.loop import Loop
from noisewise.train.method import Batch, Method
from noisewise.train.ranks import Ranks
from noisewise.train.seeds import seed_everything, torch_generator

CLASSES = [f"class {number}" for number in range(9)]
SETTINGS = {
    "coteaching": {"ramp_epochs": 0.0},  # so that the pick of small losses selects from the first step on
    "barlow_twins": {"warmup_epochs": 0.0, "projector_hidden": 512, "projector_out": 512},
    "jigsaw": {"permutations": 24, "hidden": 512},
    "vae": {"width": 128},
    "bigbigan": {"width": 16},
}
HEADER = 4096  # bytes before the first image, of no meaning


def methods() -> list[tuple[str, str]]:
    """Every (stage, method) that this version has."""
    return [(stage, name) for stage, methods in METHODS.items() for name in methods if exists(stage, name)]


def make_run(
    stage: str, name: str, resolution: int, batch: int, epochs: int = 1, precision: str = "auto"
) -> Pretrain | Finetune:
    """A run of the method with its default recipe but for these, on images an eighth larger than it sees."""
    prepare = Prepare("synthetic", size=resolution + resolution // 8)
    common = {"resolution": resolution, "batch": batch, "epochs": epochs, "stem": "standard", "precision": precision}
    recipe = METHODS[stage][name](**common, **SETTINGS.get(name, {}))
    allowed = Invariance(vflip=True)
    if stage == "pretrain":
        return Pretrain(prepare, name, recipe, allowed=allowed)
    return Finetune(prepare, name, recipe, Noise("symmetric", 0.4), allowed=allowed)


def make_method(run: Pretrain | Finetune, labels: np.ndarray, ranks: Ranks) -> Method:
    """The method on the device. Its random networks are drawn on the CPU: they are the same for every device."""
    recipe = run.recipe
    augment = Augmenter(recipe.augmentation, run.allowed, recipe.resolution, run.normalise)

    def encoder() -> nn.Module:
        return build_backbone(recipe.backbone, recipe.stem, recipe.resolution)

    def network() -> nn.Module:
        return Classifier(encoder(), len(CLASSES))

    seed_everything("bench")
    module = import_module(f"noisewise.{run.stage}.{run.method}")
    if run.stage == "pretrain":
        method = module.Method(recipe, encoder(), augment, ranks, len(labels))
    else:
        method = module.Method(recipe, network, augment, torch.from_numpy(labels), len(CLASSES), run.noise, ranks)
    return method.to(ranks.device, memory_format=torch.channels_last)


def make_images(count: int, size: int) -> Tensor:
    """Smooth random images, uint8 [count, size, size, 3]."""
    coarse = torch.rand(count, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    smooth = nn.functional.interpolate(coarse, size=(size, size), mode="bilinear")
    return (smooth.permute(0, 2, 3, 1) * 255).to(torch.uint8).contiguous()


def make_batch(images: Tensor, turn: str = "all") -> Batch:
    """These images, all of one step."""
    return Batch(
        images=images,
        index=torch.arange(len(images), device=images.device),
        rows=slice(0, len(images)),
        total=len(images),
        world=1,
        generator=torch_generator("step"),
        epoch=0.5,
        turn=turn,
    )


def still_views(method: Method, way: Callable[..., Tensor]) -> None:
    """Have a method's views made by `way(make, images, generator, ...)`, `make` being the augmenter's own way."""

    class Still:
        def __init__(self, augment: Augmenter) -> None:
            self.normalised = augment.normalised
            self.make, self.make_view = augment, augment.view

        def __call__(self, *given: Any) -> Tensor:
            return way(self.make, *given)

        def view(self, *given: Any) -> Tensor:
            return way(self.make_view, *given)

    for name, value in list(vars(method).items()):
        if isinstance(value, Augmenter):
            setattr(method, name, Still(value))


def make_pack(folder: Path, count: int, size: int) -> Pack:
    """A raw pack of `count` images that lie in the beton in no order, behind a header."""
    folder.mkdir(parents=True)
    images = make_images(count, size).numpy()
    place = np.random.default_rng(0).permutation(count)
    offsets = HEADER + place * size**2 * 3
    with open(folder / BETON, "wb") as file:
        file.write(bytes(HEADER))
        images[np.argsort(place)].tofile(file)
    sizes = np.full(count, size**2 * 3)
    labels = np.arange(count) % len(CLASSES)
    names = [f"{number}.png" for number in range(count)]
    samples = {"path": names, "label": labels, "given": labels}
    samples |= {"split": ["train"] * count, "sha256": ["0" * 64] * count}
    memory = np.memmap(folder / BETON, np.uint8, "r").view(np.ndarray)
    arrays = {"offsets": offsets, "sizes": sizes, "checksums": checksums(memory, offsets, sizes)}
    moments = {"mean": Normalise().mean, "std": Normalise().std}
    write_index(folder, Prepare("synthetic", size=size, format="raw"), samples, arrays, classes=CLASSES, **moments)
    return Pack.open(folder)


def make_batches(count: int, batch: int, steps: int, epoch: int) -> list[np.ndarray]:
    """`steps` full batches: of as many permutations of the `count` images as that takes."""
    turns = range(-(-steps // (count // batch)))
    return [step for turn in turns for step in order.full_batches(count, batch, turn, epoch)][:steps]


@contextmanager
def training(
    run: Pretrain | Finetune, pack: Pack, root: Path, ranks: Ranks, steps: int, control: Control | None = None
) -> Iterator[Loop]:
    """The project's own loop over the pack, `steps` an epoch, ready to run; under the same `root` it resumes."""
    folder = RunFolder.of(root, run)
    folder.create(run, Settings())
    with ExitStack() as stack:
        source = stack.enter_context(closing(open_images(pack, ranks.device)))
        method = make_method(run, pack.labels, ranks)
        yield Loop(
            method=method,
            recipe=run.recipe,
            seed=run.seed,
            order=lambda epoch: [
                order.Step(rows, method.turns) for rows in make_batches(len(pack), run.recipe.batch, steps, epoch)
            ],
            images=source.batches,
            end_epoch=lambda epoch, history: {},
            epoch_saved=lambda history: None,
            folder=folder,
            settings=Settings(),
            ranks=ranks,
            control=control or Control(),
            tracker=stack.enter_context(closing(Tracker(folder, run, Settings()))),
        )
