"""What the augmenter promises: order of randomness, what is off stays off, ranks agree."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torchvision.transforms.v2 import functional as peer

from noisewise.data.augment import Augmenter, evaluation_view
from noisewise.runs.config import Invariance, Normalise
from noisewise.runs.methods import SimCLR
from noisewise.runs.recipe import Augmentation

PLAIN = Normalise(mean=[0.0, 0.0, 0.0], std=[1.0, 1.0, 1.0])
NOTHING = Augmentation(crop_min=1.0)
EVERYTHING = replace(SimCLR().augmentation, blur_p=0.5, solarise_p=0.5)
ANY = Invariance(hflip=True, vflip=True, rotate=20.0)


def images(n: int = 8, size: int = 24) -> torch.Tensor:
    return torch.randint(0, 256, (n, size, size, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def as_float(batch: torch.Tensor) -> torch.Tensor:
    return batch.permute(0, 3, 1, 2).float() / 255


@pytest.mark.parametrize("allowed", [Invariance(), ANY])
@pytest.mark.parametrize("n, size, resolution", [(1, 24, 16), (8, 24, 16), (3, 12, 32), (2, 16, 16)])
def test_shape_type_and_layout(allowed, n, size, resolution):
    batch = images(n, size)
    before = batch.clone()
    view = Augmenter(EVERYTHING, allowed, resolution, Normalise())(batch, seeded())
    assert view.shape == (n, 3, resolution, resolution)
    assert view.dtype == torch.float32
    assert view.is_contiguous(memory_format=torch.channels_last)
    assert torch.isfinite(view).all()
    assert torch.equal(batch, before)


def test_same_generator_same_views():
    augment = Augmenter(EVERYTHING, ANY, 16, Normalise())
    generator = seeded()
    first, second = augment(images(), generator), augment(images(), generator)
    assert torch.equal(first, augment(images(), seeded()))
    assert not torch.equal(first, second)


@pytest.mark.parametrize("allowed", [Invariance(), ANY])
def test_two_ranks_see_what_one_would(allowed):
    augment = Augmenter(EVERYTHING, allowed, 16, Normalise())
    batch = images(80)
    whole = augment(batch, seeded())
    halves = [augment(batch[rows], seeded(), rows, total=80) for rows in (slice(0, 35), slice(35, 80))]
    assert torch.equal(torch.cat(halves), whole)
    strided = augment(batch[1::2], seeded(), slice(1, None, 2), total=80)
    assert torch.equal(strided, whole[1::2])


def test_rows_must_match_the_images():
    with pytest.raises(ValueError, match="8 images, but random numbers for 4"):
        Augmenter(NOTHING, Invariance(), 16, PLAIN)(images(), seeded(), slice(0, 4), total=8)


def test_switching_colour_on_leaves_crops_alone():
    """The generator advances alike, whatever is on."""
    one, other = seeded(), seeded()
    Augmenter(EVERYTHING, ANY, 16, PLAIN)(images(), one)
    Augmenter(NOTHING, Invariance(hflip=False), 16, PLAIN)(images(), other)
    assert torch.equal(one.get_state(), other.get_state())


def test_nothing_allowed_is_the_evaluation_view():
    view = Augmenter(NOTHING, Invariance(hflip=False), 24, Normalise())(images(), seeded())
    torch.testing.assert_close(view, evaluation_view(images(), 24, Normalise()), atol=2e-6, rtol=0)


def test_only_allowed_flips_happen_and_half_the_time():
    batch = images(200)
    plain = as_float(batch)
    for name, axis in {"hflip": 3, "vflip": 2}.items():
        allowed = Invariance(**{"hflip": False, "vflip": False, name: True})
        view = Augmenter(NOTHING, allowed, 24, PLAIN)(batch, seeded())
        same = (view - plain).abs().amax((1, 2, 3)) < 1e-5
        flipped = (view - plain.flip(axis)).abs().amax((1, 2, 3)) < 1e-5
        assert torch.equal(same, ~flipped)
        assert 70 < flipped.sum() < 130


def test_colour_that_is_not_allowed_does_not_happen():
    """Then an image of one colour keeps it, and a grey image stays grey."""
    flat = torch.tensor([200, 40, 90], dtype=torch.uint8).expand(6, 24, 24, 3)
    for allowed in (Invariance(colour=False), replace(ANY, colour=False)):
        view = Augmenter(EVERYTHING, allowed, 16, PLAIN)(flat, seeded())
        torch.testing.assert_close(view, as_float(flat)[:, :, :16, :16], atol=1e-5, rtol=0)
        grey = Augmenter(EVERYTHING, allowed, 16, PLAIN)(images()[..., :1].expand(-1, -1, -1, 3), seeded())
        torch.testing.assert_close(grey[:, 0], grey[:, 2])
    assert not torch.allclose(Augmenter(EVERYTHING, ANY, 16, PLAIN)(flat, seeded()), as_float(flat)[:, :, :16, :16])


@pytest.mark.parametrize(
    "share, name, config",
    [
        (0.8, "jitter_p", Augmentation(crop_min=1.0, brightness=0.4)),
        (0.2, "grey_p", NOTHING),
        (0.5, "blur_p", NOTHING),
        (0.1, "solarise_p", NOTHING),
    ],
)
def test_each_probability_is_its_own(share, name, config):
    """The numbers drawn do not depend on the probability: an image is as if always or as if never chosen."""
    visible = 0.9 if name == "blur_p" else 1.0  # the least sigmas move nothing
    plain, some, always = (
        Augmenter(replace(config, **{name: p}), Invariance(hflip=False), 96, PLAIN)(images(300), seeded())
        for p in (0.0, share, 1.0)
    )
    left_alone = (some - plain).abs().amax((1, 2, 3)) < 1e-5
    changed = (some - always).abs().amax((1, 2, 3)) < 1e-5
    assert (left_alone | changed).all()
    assert visible * share - 0.08 < (~left_alone).float().mean() < visible * share + 0.08


def test_jitter_that_is_never_done_changes_nothing():
    config = replace(NOTHING, brightness=0.8, contrast=0.8, saturation=0.8, hue=0.2, jitter_p=0.0)
    view = Augmenter(config, Invariance(hflip=False), 24, PLAIN)(images(), seeded())
    torch.testing.assert_close(view, as_float(images()), atol=1e-6, rtol=0)


@pytest.mark.parametrize("resolution", [16, 24, 40])
def test_evaluation_view_is_torchvisions_resize(resolution):
    normalise = Normalise()
    view = evaluation_view(images(), resolution, normalise)
    theirs = peer.resize(as_float(images()), [resolution, resolution], antialias=True)
    torch.testing.assert_close(view, peer.normalize(theirs, normalise.mean, normalise.std), atol=2e-5, rtol=0)
    assert view.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
@pytest.mark.parametrize("allowed", [Invariance(), ANY])
def test_a_gpu_sees_what_the_cpu_sees(allowed):
    augment = Augmenter(EVERYTHING, allowed, 16, Normalise())
    with torch.autocast("cuda", torch.bfloat16):
        view = augment(images().cuda(), seeded())
    difference = (view.cpu() - augment(images(), seeded())).abs()
    assert difference.mean() < 1e-4  # single values on solarisation's threshold may fall to either side


def test_normalising_hands_gradients_on_after_an_evaluation():
    normalise = Normalise(mean=[0.1, 0.2, 0.3], std=[0.4, 0.5, 0.6])  # of no other test
    with torch.inference_mode():
        evaluation_view(torch.zeros(1, 8, 8, 3, dtype=torch.uint8), 8, normalise)
    view = torch.rand(1, 3, 8, 8, requires_grad=True)
    Augmenter(Augmentation(), Invariance(), 8, normalise).normalised(view).sum().backward()
    torch.testing.assert_close(view.grad[0, :, 0, 0], 1 / torch.tensor([0.4, 0.5, 0.6]))
