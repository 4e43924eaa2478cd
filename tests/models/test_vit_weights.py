"""Weights of vision transformers: DeiT's files, and those of another resolution or patch."""

from __future__ import annotations

import pytest
import timm
import torch
from timm.layers import resample_abs_pos_embed, resample_patch_embed

from noisewise.errors import RunError
from noisewise.models import weights
from noisewise.models.backbone import build_backbone
from noisewise.models.resample import resample


@pytest.fixture(scope="module")
def peer():
    torch.manual_seed(0)
    return timm.create_model("deit_tiny_patch16_224").eval()


@pytest.fixture(scope="module")
def saved(peer, tmp_path_factory):
    """A file as DeiT's: with a classifier, and one level down."""
    path = tmp_path_factory.mktemp("deit") / "deit_tiny.pth"
    torch.save({"model": peer.state_dict()}, path)
    return path


def test_deits_file_without_its_classifier(peer, saved):
    network = build_backbone("vit_tiny", "standard", 224).eval()
    assert weights.load(network, saved) == "loaded 150 of 150 tensors; dropped: head.weight, head.bias"
    images = torch.rand(1, 3, 224, 224)
    with torch.no_grad():
        torch.testing.assert_close(peer.head(network(images)), peer(images))


def test_another_resolution_resamples_the_positions_alone(peer, saved):
    network = build_backbone("vit_tiny", "standard", 128)
    sentence = weights.load(network, saved)
    assert "loaded 150 of 150 tensors; resampled: pos_embed (14x14 to 8x8); dropped" in sentence
    expected = resample_abs_pos_embed(peer.pos_embed.data, [8, 8])
    assert torch.equal(network.pos_embed, expected)
    assert torch.equal(network.pos_embed[:, 0], peer.pos_embed[:, 0]), "the class token's is no place in a grid"
    assert torch.equal(network.patch_embed.proj.weight, peer.patch_embed.proj.weight)


def test_another_patch_resamples_the_kernel_too(peer, saved):
    network = build_backbone("vit_tiny", "small", 32)
    sentence = weights.load(network, saved)
    assert "resampled: pos_embed (14x14 to 8x8), patch_embed.proj.weight (16x16 to 4x4)" in sentence
    kernel = peer.patch_embed.proj.weight.data
    assert torch.equal(network.patch_embed.proj.weight, resample_patch_embed(kernel, [4, 4]))


def test_the_same_grid_of_other_patches_keeps_its_positions(peer, saved):
    network = build_backbone("vit_tiny", "small", 56)
    assert "resampled: patch_embed.proj.weight (16x16 to 4x4); dropped" in weights.load(network, saved)
    assert torch.equal(network.pos_embed, peer.pos_embed)


def test_our_own_encoder_goes_from_128_pixels_to_224(tmp_path):
    before, after = (build_backbone("vit_tiny", "auto", side) for side in (128, 224))
    torch.save(before.state_dict(), tmp_path / "encoder.pt")
    assert weights.load(after, tmp_path / "encoder.pt") == (
        "loaded 150 of 150 tensors; resampled: pos_embed (8x8 to 14x14)"
    )
    unchanged = [key for key, value in before.state_dict().items() if torch.equal(value, after.state_dict()[key])]
    assert len(unchanged) == 149


def test_what_fits_is_not_touched_and_other_widths_are_left(peer):
    small = {key: value for key, value in peer.state_dict().items() if key.startswith(("pos", "patch"))}
    assert resample(small, small) == (small, [])
    wider = {"pos_embed": torch.zeros(1, 65, 384), "patch_embed.proj.weight": torch.zeros(384, 3, 4, 4)}
    assert resample(small, wider) == (small, [])
    no_square = {"pos_embed": torch.zeros(1, 1 + 6, 192)}
    assert resample(no_square, small) == (no_square, [])


@pytest.mark.parametrize(
    "name, other, words, advice",
    [
        ("resnet18", "deit_tiny_patch16_224", "holds the weights of vit_tiny and does not fit resnet18", "vit_tiny"),
        ("vit_small", "deit_tiny_patch16_224", "of vit_tiny and does not fit vit_small", "vit_tiny"),
        ("vit_tiny", "deit_tiny_distilled_patch16_224", "of another vision transformer and does not fit", "..."),
    ],
)
def test_another_architecture_is_refused_by_name(name, other, words, advice, tmp_path):
    torch.save(timm.create_model(other).state_dict(), tmp_path / "other.pth")
    network = build_backbone(name, "auto", 64)
    before = {key: value.clone() for key, value in network.state_dict().items()}
    with pytest.raises(RunError, match=words) as caught:
        weights.load(network, tmp_path / "other.pth")
    assert caught.value.kind == "config"
    assert f"set backbone={advice}" in caught.value.advice
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())


@pytest.mark.parametrize("name", ["vit_tiny", "vit_small"])
def test_imagenets_address_is_timms(name):
    tag = f"{name.replace('vit', 'deit')}_patch16_224.fb_in1k"
    assert weights.IMAGENET[name] == timm.get_pretrained_cfg(tag).url


@pytest.mark.parametrize("file", ["vit_tiny-mine.pth", "deit_tiny.pth", "deit_tiny_patch16_224-a1311bcf.pth"])
def test_imagenet_takes_a_local_file_of_either_name(file, tmp_path):
    path = tmp_path / "weights" / file
    path.parent.mkdir()
    for name in (file, "deit_small.pth", "resnet18.pth"):
        (path.parent / name).touch()
    assert weights.imagenet("vit_tiny", tmp_path) == path


def test_imagenet_downloads_deits_file_and_checks_it(tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(torch.hub, "download_url_to_file", lambda *args, **kwargs: asked.append((args, kwargs)))
    path = weights.imagenet("vit_small", tmp_path)
    assert path == tmp_path / "weights" / "deit_small_patch16_224-cd65a155.pth"
    assert asked == [((weights.IMAGENET["vit_small"], str(path)), {"hash_prefix": "cd65a155"})]
