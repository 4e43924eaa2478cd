"""The prober: right features of the right images, nothing else moved, the same on two ranks; and when it stops."""

from __future__ import annotations

import copy
import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from sklearn.metrics import f1_score
from sklearn.neighbors import KNeighborsClassifier
from tests.train.test_ranks import on_two_ranks
from torch import nn
from torchvision.transforms.functional import normalize

from noisewise.data import subset
from noisewise.data.augment import Augmenter
from noisewise.data.subset import training_images
from noisewise.errors import RunError
from noisewise.evaluate import features, passes
from noisewise.evaluate.features import probe_images
from noisewise.pretrain.prober import COLLAPSED, PROBES, Prober, check
from noisewise.runs.config import Invariance, Prepare, Pretrain
from noisewise.runs.recipe import Augmentation, PretrainRecipe
from noisewise.train.ranks import Ranks

ONE = Ranks(0, 1, torch.device("cpu"))
RUN = Pretrain(Prepare("toy"), "simclr", PretrainRecipe(resolution=8))
SIZE = 8


def make_pack(train: list[int], val: list[int], classes: int = 3) -> SimpleNamespace:
    """As much of a pack as the prober looks at, its splits interleaved; images a class in either split."""
    pairs = [
        (part, label)
        for part, counts in (("train", train), ("val", val))
        for label, n in enumerate(counts)
        for _ in range(n)
    ]
    order = np.random.default_rng(0).permutation(len(pairs))
    split, labels = (np.array(column)[order] for column in zip(*pairs, strict=True))
    return SimpleNamespace(
        labels=labels,
        classes=[f"class{number}" for number in range(classes)],
        ranks=subset.ranks([f"{number}.png" for number in range(len(pairs))], labels, split, seed=0),
        indices=lambda part: np.flatnonzero(split == part),
    )


class Images:
    """Noisy images whose red, green or blue tells the class; remembers which were asked for."""

    def __init__(self, pack: SimpleNamespace) -> None:
        rng = np.random.default_rng(1)
        pixels = rng.integers(0, 120, (len(pack.labels), SIZE, SIZE, 3))
        pixels[np.arange(len(pixels)), :, :, pack.labels] += 40
        self.pixels = torch.from_numpy(pixels.astype(np.uint8))
        self.asked: list[int] = []

    def batches(self, steps):
        for step in steps:
            self.asked += step.tolist()
            yield self.pixels[step]


def make_encoder() -> nn.Module:
    """A small network whose features hang on running statistics, on the mode, and on the order of no batch."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        encoder = nn.Sequential(
            nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6), nn.ReLU(), nn.Dropout(0.5), nn.AdaptiveAvgPool2d(1), nn.Flatten()
        )
        encoder[1].running_mean.uniform_(-1, 1)
    encoder.out_features = 6
    return encoder


def make_prober(train=(30, 30, 30), val=(20, 20, 20), encoder=None, run=RUN, ranks=ONE) -> Prober:
    pack = make_pack(list(train), list(val))
    return Prober(run, encoder or make_encoder(), pack, Images(pack), ranks)


def test_what_it_finds_is_what_sklearn_finds_on_the_features():
    probed = make_prober()
    values, pack = probed(), probed.pack
    encoder = make_encoder().eval()
    pixels = probed.source.pixels.permute(0, 3, 1, 2) / 255
    features = encoder(normalize(pixels, RUN.normalise.mean, RUN.normalise.std)).detach().numpy()
    train, val = pack.indices("train"), pack.indices("val")
    model = KNeighborsClassifier(20, metric="cosine", weights=lambda distance: np.exp((1 - distance) / 0.07))
    predicted = model.fit(features[train], pack.labels[train]).predict(features[val])
    assert list(values) == list(PROBES)
    assert values["knn_f1"] == pytest.approx(f1_score(pack.labels[val], predicted, average="macro"))
    assert values["knn_f1"] > 0.5 and 0.5 < values["linear_f1"] <= 1
    shares = np.linalg.svd(features[train])[1] / np.linalg.svd(features[train])[1].sum()
    assert values["rankme"] == pytest.approx(np.prod(shares**-shares), rel=1e-3)
    unit = features[train] / np.linalg.norm(features[train], axis=1, keepdims=True)
    assert values["embedding_std"] == pytest.approx(6**0.5 * unit.std(0).mean(), rel=1e-4)
    check(values)


def test_it_asks_for_each_training_and_validation_image_once(monkeypatch):
    monkeypatch.setattr(passes, "BATCH", 16)
    probed = make_prober()
    whole = probed()
    pack = probed.pack
    assert probed.source.asked == [*pack.indices("train"), *pack.indices("val")]
    monkeypatch.setattr(passes, "BATCH", 1000)
    assert probed() == pytest.approx(whole, rel=1e-4)


def test_the_encoder_and_the_generators_are_left_as_they_were():
    encoder = make_encoder().train()
    encoder[1].eval()  # a frozen layer stays frozen
    before = copy.deepcopy(encoder.state_dict())
    torch_state, numpy_state = torch.get_rng_state(), np.random.get_state()[1].copy()
    make_prober(encoder=encoder)()
    assert all(torch.equal(value, before[name]) for name, value in encoder.state_dict().items())
    assert [module.training for module in encoder] == [True, False, True, True, True, True] and encoder.training
    assert torch.equal(torch.get_rng_state(), torch_state) and (np.random.get_state()[1] == numpy_state).all()


def test_an_encoder_that_fails_is_left_as_it_was_too():
    probed = make_prober(encoder=make_encoder().train())
    probed.encoder[4] = nn.Linear(5, 5)
    with pytest.raises(RuntimeError):
        probed()
    assert all(module.training for module in probed.encoder.modules())


def test_training_goes_on_behind_a_probe_that_came_first():
    """What is made in inference mode may not take part in a backward pass."""
    probed = make_prober()
    probed()
    augment = Augmenter(Augmentation(brightness=0.4), Invariance(), SIZE, RUN.normalise)
    view = augment(probed.source.pixels[:8], torch.Generator().manual_seed(0))
    probed.encoder.train()(view).square().mean().backward()
    assert probed.encoder[0].weight.grad.abs().sum() > 0


def test_two_probes_find_the_same():
    probed = make_prober()
    assert probed() == probed()


def on_this_rank(ranks, path):
    encoder = make_encoder()
    with torch.no_grad():
        encoder[1].running_mean.add_(3 * ranks.rank)  # ranks on CPUs each keep their own statistics
    own = encoder[1].running_mean.clone()
    found = make_prober(train=(30, 30, 31), encoder=encoder, ranks=ranks)()
    return {"found": found, "kept": torch.equal(encoder[1].running_mean, own)}


def test_two_ranks_find_what_one_finds(tmp_path):
    one = on_this_rank(ONE, None)["found"]
    found = on_two_ranks(on_this_rank, tmp_path)
    assert found[0]["found"] == found[1]["found"] == pytest.approx(one, rel=1e-5)
    assert found[0]["kept"] and found[1]["kept"]


def blind_on_this_rank(ranks, path):
    encoder = make_encoder()
    encoder[0].weight.data.fill_(math.nan)
    return {"kind": kind_of(make_prober(train=(1, 1, 0), val=(1, 0, 0), encoder=encoder, ranks=ranks)())}


def test_two_ranks_stop_together_though_one_has_hardly_an_image(tmp_path):
    assert [found["kind"] for found in on_two_ranks(blind_on_this_rank, tmp_path)] == ["nan", "nan"]


def kind_of(values) -> str:
    with pytest.raises(RunError) as error:
        check(values)
    return error.value.kind


def test_features_that_are_not_finite():
    for value in (math.nan, math.inf):
        encoder = make_encoder()
        encoder[1].running_mean[2] = value
        encoder[2] = nn.Identity()  # ReLU makes nought of minus infinity
        values = make_prober(encoder=encoder)()
        assert all(math.isnan(found) for found in values.values()) and kind_of(values) == "nan"


@pytest.mark.parametrize("level", [0.0, 2.0])
def test_an_encoder_that_gives_all_images_the_same_features_has_collapsed(level):
    encoder = make_encoder()
    encoder[1].weight.data.fill_(1e-5)
    encoder[1].bias.data.fill_(level)
    if level == 0:
        encoder[1].weight.data.fill_(0)
    values = make_prober(encoder=encoder)()
    assert values["embedding_std"] < COLLAPSED and values["rankme"] == pytest.approx(1, abs=0.02)
    with pytest.raises(RunError, match="same features.*embedding_std.*below 0.005") as error:
        check(values)
    assert error.value.kind == "collapse" and "lr" in error.value.advice and "batch" in error.value.advice


def test_poor_but_not_collapsed_features_pass():
    check({"knn_f1": 0.0, "linear_f1": 0.0, "rankme": 1.0, "embedding_std": COLLAPSED})


@pytest.mark.parametrize(
    ("train", "val"),
    [
        ((30, 30, 30), (0, 20, 0)),  # validation of one class
        ((3, 2, 1), (5, 5, 5)),  # fewer images than neighbours
        ((30, 30, 0), (5, 5, 5)),  # a class without training images
        ((0, 30, 0), (5, 5, 5)),  # training of one class
    ],
)
def test_odd_splits_have_scores(train, val):
    values = make_prober(train, val)()
    assert all(math.isfinite(value) for value in values.values())
    assert 0 < values["knn_f1"] <= 1 and 0 < values["linear_f1"] <= 1


def test_a_fraction_is_probed_with_its_own_images():
    pack = make_pack([40, 20, 4], [10, 10, 1])
    train, val = probe_images(pack, 0.25)
    assert (train == training_images(pack, 0.25)).all() and (val == pack.indices("val")).all()


@pytest.mark.parametrize(("most", "kept"), [(64, [40, 20, 4]), (32, [20, 10, 2]), (5, [2, 2, 1]), (3, [1, 1, 1])])
def test_of_many_images_a_stratified_part(monkeypatch, most, kept):
    monkeypatch.setattr(features, "PROBE_IMAGES", most)
    pack = make_pack([40, 20, 4], [400, 200, 40])
    train, val = probe_images(pack)
    assert np.bincount(pack.labels[train], minlength=3).tolist() == pytest.approx(kept, abs=1)
    assert len(train) == len(val) == most and (np.diff(train) > 0).all() and (np.diff(val) > 0).all()
    assert set(train) <= set(pack.indices("train")) and set(val) <= set(pack.indices("val"))
    assert set(pack.labels[train]) == {0, 1, 2}
    assert set(training_images(pack, most / 64 * 0.5)) - set(train) == set() or most < 10
