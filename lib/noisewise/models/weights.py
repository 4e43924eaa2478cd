"""Loading weights strictly, and saying what was loaded; ImageNet's, from a file or the network."""

from __future__ import annotations

import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import torch
import torchvision
from torch import Tensor, nn

from noisewise.errors import RunError, unknown
from noisewise.models.recognise import CLASSIFIER, COUNTER, recognise
from noisewise.models.resample import resample
from noisewise.runs.backbones import BACKBONES

PATIENCE = 20  # seconds for a silent network

# All trained on ImageNet-1k alone, with its labels. torchvision's two by one recipe: its second set for ResNet-50 was
# not, and has no ResNet-18 beside it. The transformers' are DeiT's (arXiv 2012.12877), without distillation.
IMAGENET = {
    "resnet18": torchvision.models.ResNet18_Weights.IMAGENET1K_V1.url,
    "resnet50": torchvision.models.ResNet50_Weights.IMAGENET1K_V1.url,
    "vit_tiny": "https://dl.fbaipublicfiles.com/deit/deit_tiny_patch16_224-a1311bcf.pth",
    "vit_small": "https://dl.fbaipublicfiles.com/deit/deit_small_patch16_224-cd65a155.pth",
}
ALIASES = {"vit_tiny": "deit_tiny", "vit_small": "deit_small"}


def load(module: nn.Module, path: Path, *, prefix: str = "") -> str:
    """Load a backbone's weights from a file: torchvision's, timm's, DeiT's, or an `encoder.pt` of ours.

    Every tensor must find its place, with three exceptions, which the returned sentence names: a classifier is
    dropped, a ResNet's small stem stays at random where the file holds a standard one, and a vision transformer's
    position embeddings and patch kernel are resampled from those for another resolution or patch.

    Args:
        module: the backbone; changed in place, or not at all.
        path: a state dict as `torch.save` writes it, or a dictionary that holds one under "model".
        prefix: only keys that begin so are taken, without it.

    Raises:
        RunError: data, if the file is missing, broken or no state dict; config, if it is of another architecture.
    """
    given = {key[len(prefix) :]: value for key, value in _read(path).items() if key.startswith(prefix)}
    wanted = module.state_dict()
    dropped = [key for key in CLASSIFIER if key in given and key not in wanted]
    left = [key for key in given if key == "conv1.weight" and _small_from_standard(given[key], wanted.get(key))]
    kept = {key: value for key, value in given.items() if key not in (*dropped, *left)}
    kept, resampled = resample(kept, wanted)
    if wrong := list(_mismatches(kept, wanted, left)):
        raise _misfit(path, given, wanted, wrong)
    module.load_state_dict(kept, strict=False)  # strictly checked above, in words that say more
    notes = [f"left at random: {key} ({_shapes(given[key], wanted[key])})" for key in left]
    for what, names in (("resampled", resampled), ("dropped", dropped)):
        if names:
            notes.append(f"{what}: {', '.join(names)}")
    return "; ".join([f"loaded {len(kept)} of {len(wanted)} tensors", *notes])


def imagenet(backbone: str, data: Path) -> Path:
    """The file of ImageNet weights: `data/weights/BACKBONE*.pth` (for vit_tiny deit_tiny*.pth too), else downloaded.

    Raises:
        UserError: no such weights for this backbone.
        RunError: data, if several files fit the name, or if there is none and the download fails.
    """
    if backbone not in IMAGENET:
        raise unknown("backbone with ImageNet weights", backbone, IMAGENET)
    url = IMAGENET[backbone]
    target = data / "weights" / url.rpartition("/")[2]
    beginnings = {backbone, ALIASES.get(backbone, backbone)}
    fitting = sorted(path for beginning in beginnings for path in target.parent.glob(f"{beginning}*.pth"))
    local = [target] if target in fitting else fitting
    if len(local) > 1:
        names = ", ".join(path.name for path in local)
        raise RunError("data", f"{target.parent} holds several {backbone} files: {names}", "Leave one of them there.")
    if local:
        return local[0]
    digest = target.stem.rpartition("-")[2]
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with _impatient():
            torch.hub.download_url_to_file(url, str(target), hash_prefix=digest)
    except (OSError, RuntimeError) as error:  # RuntimeError: the download's hash is wrong
        command = f"import torch; torch.hub.download_url_to_file('{url}', '{target.name}', '{digest}')"
        raise RunError(
            "data",
            f"ImageNet weights for {backbone} are not in {target.parent} and cannot be downloaded: {error}",
            f'On a machine with a network type: python -c "{command}". Copy the file that it saves, {target.name}, '
            f"to {target}.",
        ) from error
    return target


def _read(path: Path) -> dict[str, Tensor]:
    try:
        values = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise RunError("data", f"there is no weights file {path}", "Put it there, or choose another init.") from None
    except PermissionError:
        raise RunError("data", f"the weights file {path} may not be read", f"Type: chmod u+r {path}") from None
    except Exception as error:  # broken files fail in many ways
        raise RunError(
            "data",
            f"{path} is no weights file, or was cut short ({type(error).__name__})",
            "Copy or download it again; what is needed is a state dict saved with torch.save.",
        ) from error
    nested = values.get("model") if isinstance(values, dict) else None  # where DeiT's files have it
    state = nested if isinstance(nested, dict) else values
    if not isinstance(state, dict) or not state or not all(isinstance(value, Tensor) for value in state.values()):
        raise RunError(
            "data",
            f"{path} holds no state dict (tensors by name) but {_describe(values)}",
            "Save the network's own: torch.save(network.state_dict(), path).",
        )
    return state


def _describe(values: object) -> str:
    if isinstance(values, dict):
        return f"a dictionary of {', '.join(map(str, list(values)[:5]))}" if values else "an empty dictionary"
    return f"a {type(values).__name__}"


def _misfit(path: Path, given: Mapping[str, Tensor], wanted: Mapping[str, Tensor], wrong: list[str]) -> RunError:
    """What does not fit, by the architectures' names where those differ."""
    found, needed = recognise(given), recognise(wanted)
    what, advice = f"{path} does not fit the network", "set backbone=... and stem=... to the one they were made with"
    if found and needed and found != needed:
        what = f"{path} holds the weights of {found} and does not fit {needed}"
        advice = f"set backbone={found}, or choose another init" if found in BACKBONES else advice
    more = f" and {len(wrong) - 3} more" if len(wrong) > 3 else ""
    message = f"{what}: {'; '.join(wrong[:3])}{more}"
    return RunError("config", message, f"These weights are of another architecture: {advice}.")


def _small_from_standard(given: Tensor, wanted: Tensor | None) -> bool:
    return wanted is not None and wanted.shape[2:] == (3, 3) and given.shape[2:] == (7, 7)


def _mismatches(given: dict[str, Tensor], wanted: dict[str, Tensor], left: list[str]) -> Iterator[str]:
    for key, value in given.items():
        if key not in wanted:
            yield f"{key} is in the file only"
        elif value.shape != wanted[key].shape:
            yield f"{key} ({_shapes(value, wanted[key])})"
    for key in wanted:
        if key not in given and key not in left and not key.endswith(COUNTER):
            yield f"{key} is in the network only"


def _shapes(given: Tensor, wanted: Tensor) -> str:
    return f"{tuple(given.shape)} in the file, {tuple(wanted.shape)} in the network"


@contextmanager
def _impatient() -> Iterator[None]:
    """torch.hub sets no timeout, and some clusters drop what goes out without a word."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(PATIENCE)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)
