"""What runs cost: the backbones' multiply-adds against what torch counts on the networks; passes by hand."""

from __future__ import annotations

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from noisewise.grid.cost import gmacs, kind, passes
from noisewise.models.backbone import build_backbone
from noisewise.runs.config import Finetune, Prepare, Source
from noisewise.runs.methods import CrossEntropy, DivideMix
from noisewise.runs.recipe import Recipe


def counted(recipe):
    with torch.device("meta"):
        network = build_backbone(recipe.backbone, recipe.stem, recipe.resolution).eval()
        with FlopCounterMode(display=False) as counter:
            network(torch.rand(1, 3, recipe.resolution, recipe.resolution))
    return counter.get_total_flops() / 2e9


@pytest.mark.parametrize("name", ["vit_tiny", "vit_small"])
@pytest.mark.parametrize("stem, resolution", [("standard", 224), ("small", 224), ("small", 32), ("standard", 96)])
def test_a_vision_transformers_are_exact(name, stem, resolution):
    recipe = Recipe(backbone=name, stem=stem, resolution=resolution)
    assert gmacs(recipe) == pytest.approx(counted(recipe))


@pytest.mark.parametrize("name", ["resnet18", "resnet50"])
@pytest.mark.parametrize("stem, resolution", [("standard", 224), ("auto", 32), ("standard", 96)])
def test_a_resnets_are_nearly_so(name, stem, resolution):
    recipe = Recipe(backbone=name, stem=stem, resolution=resolution)
    assert gmacs(recipe) == pytest.approx(counted(recipe), rel=0.15)


@pytest.mark.parametrize("name, published", [("vit_tiny", 1.26), ("vit_small", 4.6)])
def test_at_224_pixels_they_are_the_published_figures(name, published):
    assert gmacs(Recipe(backbone=name, stem="standard")) == pytest.approx(published, rel=0.01)


def test_a_linear_probe_is_a_kind_of_its_own_and_a_third_of_the_work():
    prepare = Prepare("elpv", Source("elpv"))
    whole, head = (Finetune(prepare, "cross_entropy", CrossEntropy(epochs=6, train=part)) for part in ("all", "head"))
    assert kind(whole) != kind(head)
    assert (passes(whole, 100, 0.5), passes(head, 100, 0.5)) == (300, 100)


@pytest.mark.parametrize(
    ("lambda_u", "learnt"),
    [(25.0, 4 * 0.6), (0.0, 2 * 0.6)],
)
def test_dividemix_is_counted_pass_by_pass(lambda_u, learnt):
    """100 images, 60 taken for clean: two networks, each with 60 labelled and 60 unlabelled images in two views."""
    guessed = (4 * 0.6 + 2 * 0.6) / 3  # forward only: of all by the one that learns, of the unlabelled by the other
    recipe = DivideMix(epochs=10, cross_entropy_epochs=4, lambda_u=lambda_u)
    run = Finetune(Prepare("mine"), "dividemix", recipe)
    epoch = 2 * (guessed + learnt + 1 / 3)
    assert passes(run, 100, 1.0) == pytest.approx(100 * (4 * 2 + 6 * epoch))
