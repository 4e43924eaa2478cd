"""Loading weights: what fits, what is left out knowingly, and what is refused."""

from __future__ import annotations

import pytest
import torch
import torchvision

from noisewise.errors import RunError, UserError
from noisewise.models import weights
from noisewise.models.backbone import build_backbone


@pytest.fixture(scope="module")
def peer():
    torch.manual_seed(0)
    return torchvision.models.resnet18().eval()


@pytest.fixture
def saved(peer, tmp_path):
    path = tmp_path / "resnet18.pth"
    torch.save(peer.state_dict(), path)
    return path


def test_torchvisions_file_without_its_classifier(peer, saved):
    backbone = build_backbone("resnet18", "standard", 224).eval()
    assert weights.load(backbone, saved) == "loaded 120 of 120 tensors; dropped: fc.weight, fc.bias"
    images = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(peer.fc(backbone(images)), peer(images))


def test_small_stem_stays_at_random_and_is_named(saved):
    backbone = build_backbone("resnet18", "small", 32)
    before = backbone.conv1.weight.clone()
    sentence = weights.load(backbone, saved)
    assert sentence.startswith("loaded 119 of 120 tensors; left at random: conv1.weight ((64, 3, 7, 7) in the file")
    assert torch.equal(backbone.conv1.weight, before)
    assert torch.equal(backbone.layer1[0].conv1.weight, torch.load(saved)["layer1.0.conv1.weight"])


def test_our_own_encoder_goes_round(tmp_path):
    ours, other = build_backbone("resnet18", "small", 32), build_backbone("resnet18", "small", 32)
    torch.save(ours.state_dict(), tmp_path / "encoder.pt")
    assert weights.load(other, tmp_path / "encoder.pt") == "loaded 120 of 120 tensors"
    assert all(torch.equal(a, b) for a, b in zip(ours.state_dict().values(), other.state_dict().values(), strict=True))


def test_prefix_takes_one_part_of_a_file(tmp_path):
    ours, other = build_backbone("resnet18", "small", 32), build_backbone("resnet18", "small", 32)
    state = {f"encoder.{key}": value for key, value in ours.state_dict().items()}
    torch.save(state | {"head.weight": torch.zeros(1)}, tmp_path / "all.pt")
    assert weights.load(other, tmp_path / "all.pt", prefix="encoder.") == "loaded 120 of 120 tensors"
    assert torch.equal(ours.conv1.weight, other.conv1.weight)


def test_older_files_lack_the_batch_counters(peer, tmp_path):
    state = {key: value for key, value in peer.state_dict().items() if not key.endswith("num_batches_tracked")}
    torch.save(state, tmp_path / "old.pth")
    backbone = build_backbone("resnet18", "standard", 224)
    assert weights.load(backbone, tmp_path / "old.pth").startswith("loaded 100 of 120 tensors")


@pytest.mark.parametrize(
    "change, words",
    [
        (lambda state: state.pop("layer4.1.bn2.weight"), "layer4.1.bn2.weight is in the network only"),
        (lambda state: state.update(extra=torch.zeros(1)), "extra is in the file only"),
        (lambda state: state.update({"bn1.bias": torch.zeros(3)}), r"bn1.bias \(\(3,\) in the file, \(64,\)"),
    ],
)
def test_another_architecture_is_refused_and_changes_nothing(peer, tmp_path, change, words):
    state = dict(peer.state_dict())
    change(state)
    torch.save(state, tmp_path / "other.pth")
    backbone = build_backbone("resnet18", "standard", 224)
    before = backbone.conv1.weight.clone()
    with pytest.raises(RunError, match=words) as caught:
        weights.load(backbone, tmp_path / "other.pth")
    assert caught.value.kind == "config"
    assert "set backbone=" in caught.value.advice
    assert torch.equal(backbone.conv1.weight, before)


@pytest.mark.parametrize(
    "make, name, words, advice",
    [
        (
            torchvision.models.resnet50,
            "resnet18",
            "holds the weights of resnet50 and does not fit resnet18",
            "resnet50",
        ),
        (torchvision.models.resnet34, "resnet18", "of another ResNet and does not fit resnet18", "..."),
        (torchvision.models.resnet18, "vit_tiny", "of resnet18 and does not fit vit_tiny", "resnet18"),
        (torchvision.models.alexnet, "resnet50", "does not fit the network: features.0", "..."),
    ],
)
def test_the_message_names_both_architectures(make, name, words, advice, tmp_path):
    torch.save(make().state_dict(), tmp_path / "other.pth")
    with pytest.raises(RunError, match=words) as caught:
        weights.load(build_backbone(name, "standard", 32), tmp_path / "other.pth")
    assert caught.value.kind == "config"
    assert f"set backbone={advice}" in caught.value.advice


def test_small_weights_do_not_fit_a_standard_stem(tmp_path):
    torch.save(build_backbone("resnet18", "small", 32).state_dict(), tmp_path / "encoder.pt")
    with pytest.raises(RunError, match=r"conv1.weight \(\(64, 3, 3, 3\) in the file") as caught:
        weights.load(build_backbone("resnet18", "standard", 224), tmp_path / "encoder.pt")
    assert "stem=" in caught.value.advice


def test_broken_files_are_data_failures(saved, tmp_path):
    backbone = build_backbone("resnet18", "small", 32)
    (tmp_path / "cut.pth").write_bytes(saved.read_bytes()[:100_000])
    (tmp_path / "empty.pth").write_bytes(b"")
    (tmp_path / "text.pth").write_text("not weights")
    torch.save({"epoch": 3, "model": {}}, tmp_path / "checkpoint.pth")
    torch.save([1, 2], tmp_path / "list.pth")
    cases = {
        "missing.pth": "there is no weights file",
        "cut.pth": "cut short",
        "empty.pth": "cut short",
        "text.pth": "cut short",
        "checkpoint.pth": "no state dict .* but a dictionary of epoch, model",
        "list.pth": "but a list",
    }
    for name, words in cases.items():
        with pytest.raises(RunError, match=words) as caught:
            weights.load(backbone, tmp_path / name)
        assert caught.value.kind == "data"
        assert name in caught.value.message


def test_imagenet_takes_the_local_file(tmp_path):
    path = tmp_path / "weights" / "resnet18-mine.pth"
    path.parent.mkdir()
    path.touch()
    assert weights.imagenet("resnet18", tmp_path) == path
    (path.parent / "resnet18-other.pth").touch()
    with pytest.raises(RunError, match="several resnet18 files: resnet18-mine.pth, resnet18-other.pth"):
        weights.imagenet("resnet18", tmp_path)
    official = path.parent / "resnet18-f37072fd.pth"
    official.touch()
    assert weights.imagenet("resnet18", tmp_path) == official


def test_imagenet_downloads_into_the_data_folder(tmp_path, monkeypatch):
    asked = []

    def download(url, target, hash_prefix):
        asked.append(hash_prefix)
        torch.save({}, target)

    monkeypatch.setattr(torch.hub, "download_url_to_file", download)
    assert weights.imagenet("resnet50", tmp_path) == tmp_path / "weights" / "resnet50-0676ba61.pth"
    assert asked == ["0676ba61"]


def test_imagenet_without_a_network_says_what_to_put_where(tmp_path, monkeypatch):
    def refuse(*args, **kwargs):
        raise OSError("no route")

    monkeypatch.setattr(torch.hub, "download_url_to_file", refuse)
    with pytest.raises(RunError, match="no route") as caught:
        weights.imagenet("resnet18", tmp_path)
    assert caught.value.kind == "data"
    assert str(tmp_path / "weights" / "resnet18-f37072fd.pth") in caught.value.advice
    url = torchvision.models.ResNet18_Weights.IMAGENET1K_V1.url
    assert f"download_url_to_file('{url}', 'resnet18-f37072fd.pth', 'f37072fd')" in caught.value.advice


def test_imagenet_has_no_weights_for_unknown_names(tmp_path):
    with pytest.raises(UserError, match="'alexnet'"):
        weights.imagenet("alexnet", tmp_path)
