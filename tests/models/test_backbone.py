"""Backbones: shapes, stems, and the same numbers as torchvision's networks."""

from __future__ import annotations

import pytest
import torch
import torchvision

from noisewise.errors import UserError
from noisewise.models.backbone import build_backbone
from noisewise.models.heads import Classifier, mlp


@pytest.mark.parametrize("name, features", [("resnet18", 512), ("resnet50", 2048)])
@pytest.mark.parametrize("resolution", [32, 64, 96])
def test_maps_images_to_features(name, features, resolution):
    backbone = build_backbone(name, "auto", resolution).eval()
    with torch.no_grad():
        out = backbone(torch.rand(2, 3, resolution, resolution))
    assert out.shape == (2, features)
    assert backbone.out_features == features


@pytest.mark.parametrize(
    "stem, resolution, stride", [("auto", 64, 1), ("auto", 65, 2), ("small", 224, 1), ("standard", 32, 2)]
)
def test_stem_is_chosen_by_name_or_resolution(stem, resolution, stride):
    backbone = build_backbone("resnet18", stem, resolution)
    assert backbone.conv1.stride == (stride, stride)
    assert isinstance(backbone.maxpool, torch.nn.Identity) == (stride == 1)


def test_small_stem_keeps_a_map_of_32_pixels_at_4():
    backbone = build_backbone("resnet18", "small", 32).eval()
    seen = []
    backbone.layer4.register_forward_hook(lambda module, inputs, output: seen.append(output.shape))
    with torch.no_grad():
        backbone(torch.rand(1, 3, 32, 32))
    assert seen[0][2:] == (4, 4)


def test_standard_stem_gives_torchvisions_outputs():
    torch.manual_seed(0)
    peer = torchvision.models.resnet18().eval()
    ours = build_backbone("resnet18", "standard", 224).eval()
    ours.load_state_dict({key: value for key, value in peer.state_dict().items() if not key.startswith("fc.")})
    images = torch.rand(2, 3, 96, 96)
    with torch.no_grad():
        torch.testing.assert_close(peer.fc(ours(images)), peer(images))


def test_unknown_names_list_the_legal_ones():
    with pytest.raises(UserError, match="'resnet81'.*Did you mean 'resnet18'.*resnet50"):
        build_backbone("resnet81", "auto", 64)
    with pytest.raises(UserError, match="unknown stem 'tiny'"):
        build_backbone("resnet18", "tiny", 64)


def test_mlp_is_simclrs_head():
    head = mlp(512, 512, 128)
    assert [type(layer).__name__ for layer in head] == ["Linear", "ReLU", "Linear"]
    assert head(torch.rand(4, 512)).shape == (4, 128)


def test_mlp_with_normalisation_has_it_before_every_relu():
    head = mlp(8, 16, 16, 4, norm=True)
    names = [type(layer).__name__ for layer in head]
    assert names == ["Linear", "BatchNorm1d", "ReLU", "Linear", "BatchNorm1d", "ReLU", "Linear"]
    assert head(torch.rand(4, 8)).shape == (4, 4)


def test_classifier_gives_a_logit_a_class():
    network = Classifier(build_backbone("resnet18", "auto", 32), classes=4).eval()
    assert network(torch.rand(2, 3, 32, 32)).shape == (2, 4)
