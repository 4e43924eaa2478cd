"""Vision transformers: shapes in both stems, timm's own numbers, and images of other sizes than built for."""

from __future__ import annotations

import pytest
import timm
import torch

from noisewise.errors import UserError
from noisewise.models.backbone import build_backbone
from noisewise.models.heads import Classifier


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def shallow(name, stem, resolution):
    """One layer of a network's twelve: the shapes are the same, and a test takes no time."""
    network = build_backbone(name, stem, resolution).eval()
    del network.blocks[1:]
    return network


@pytest.mark.parametrize("name, features", [("vit_tiny", 192), ("vit_small", 384)])
@pytest.mark.parametrize(
    "stem, resolution, side, grid",
    [("small", 32, 4, 8), ("auto", 64, 4, 16), ("standard", 64, 16, 4), ("auto", 224, 16, 14), ("small", 224, 4, 56)],
)
def test_maps_images_to_features_by_patches(name, features, stem, resolution, side, grid):
    network = shallow(name, stem, resolution)
    with torch.no_grad():
        out = network(torch.rand(2, 3, resolution, resolution))
    assert out.shape == (2, features) == (2, network.out_features)
    assert network.patch_embed.proj.weight.shape == (features, 3, side, side)
    assert network.pos_embed.shape == (1, 1 + grid**2, features)


@pytest.mark.parametrize("name, count", [("vit_tiny", 5_524_416), ("vit_small", 21_665_664)])
def test_has_as_many_parameters_as_timms_own(name, count):
    with torch.device("meta"):
        peer = timm.create_model(f"{name}_patch16_224", num_classes=0)
        ours = build_backbone(name, "standard", 224)
    assert sum(value.numel() for value in ours.parameters()) == count
    assert {key: value.shape for key, value in ours.state_dict().items()} == {
        key: value.shape for key, value in peer.state_dict().items()
    }


def test_gives_deits_outputs():
    torch.manual_seed(0)
    peer = timm.create_model("deit_tiny_patch16_224", img_size=32).eval()
    ours = build_backbone("vit_tiny", "standard", 32).eval()
    ours.load_state_dict({key: value for key, value in peer.state_dict().items() if not key.startswith("head.")})
    images = torch.rand(2, 3, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(peer.head(ours(images)), peer(images))


@pytest.mark.parametrize("stem, size", [("small", 20), ("standard", 48), ("standard", 112)])
def test_images_of_another_size_get_resampled_positions(stem, size):
    torch.manual_seed(0)
    network = shallow("vit_tiny", stem, 64)
    images = torch.rand(2, 3, size, size)
    peer = shallow("vit_tiny", stem, size)
    grid = list(peer.patch_embed.grid_size)
    state = dict(network.state_dict())
    state["pos_embed"] = timm.layers.resample_abs_pos_embed(state["pos_embed"], grid)
    peer.load_state_dict(state)
    with torch.no_grad():
        torch.testing.assert_close(network(images), peer(images))


def test_every_parameter_learns_in_the_layout_of_the_training():
    network = Classifier(shallow("vit_tiny", "auto", 32), classes=3).to(memory_format=torch.channels_last)
    images = torch.rand(2, 3, 32, 32).contiguous(memory_format=torch.channels_last)
    network(images).square().sum().backward()
    assert [name for name, value in network.named_parameters() if value.grad is None] == []


def test_a_resolution_that_the_patches_do_not_divide_is_refused():
    with pytest.raises(UserError, match="^vit_tiny cuts .* do not divide resolution 100; set resolution=96 or 112"):
        build_backbone("vit_tiny", "auto", 100)
