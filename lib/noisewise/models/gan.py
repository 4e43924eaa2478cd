"""BigBiGAN's generator and joint discriminator (arXiv 1907.02544, on BigGAN's residual blocks, arXiv 1809.11096).

Widths are BigGAN's at 128 pixels: `width` channels at full resolution, twice as many at each halving, down to 4 to 7
pixels, sixteen times as many at most. Left out of BigGAN: the classes, self-attention, the latent's way into every
block, and the generator's own spectral normalisation.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import parametrize
from torch.nn.utils.parametrizations import spectral_norm

WIDEST = 16  # times `width`
SMALLEST = 4  # pixels: the generator's first map is this wide, or up to 7 for what 4 doubled does not reach
MLP_BLOCKS = 4  # residual blocks of two layers in each of the discriminator's perceptrons

Pair = tuple[Tensor, Tensor]


def halvings(resolution: int) -> int:
    """How often a side can be halved before it is shorter than `SMALLEST` pixels."""
    return max(0, int(math.log2(resolution / SMALLEST)))


def channels(width: int, level: int) -> int:
    """Channels of a map that was halved `level` times."""
    return width * min(2**level, WIDEST)


class UpBlock(nn.Module):
    """[n, i, S, S] -> [n, o, 2S, 2S], residual, normalised over the batch."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.BatchNorm2d(inputs), nn.BatchNorm2d(outputs)
        self.conv1 = nn.Conv2d(inputs, outputs, 3, padding=1)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1)
        self.shortcut = nn.Conv2d(inputs, outputs, 1)

    def forward(self, maps: Tensor) -> Tensor:
        inner = self.conv1(_double(self.norm1(maps).relu()))
        return self.conv2(self.norm2(inner).relu()) + _double(self.shortcut(maps))


class Generator(nn.Module):
    """G: latents [n, latent] -> images [n, 3, R, R] in [-1, 1].

    A side that is no small number doubled (such as 33 pixels) is cut from the middle of the next larger that is.
    """

    def __init__(self, latent: int, width: int, resolution: int) -> None:
        super().__init__()
        levels = halvings(resolution)
        self.resolution = resolution
        self.side = math.ceil(resolution / 2**levels)
        self.first = nn.Linear(latent, channels(width, levels) * self.side**2)
        self.blocks = nn.Sequential(
            *[UpBlock(channels(width, level + 1), channels(width, level)) for level in reversed(range(levels))]
        )
        self.norm = nn.BatchNorm2d(width)
        self.last = nn.Conv2d(width, 3, 3, padding=1)
        _initialise(self)

    def forward(self, latents: Tensor) -> Tensor:
        maps = self.blocks(self.first(latents).unflatten(1, (-1, self.side, self.side)))
        images = self.last(self.norm(maps).relu()).tanh()
        cut = (images.shape[-1] - self.resolution) // 2
        return images[..., cut : cut + self.resolution, cut : cut + self.resolution]


class DownBlock(nn.Module):
    """[n, i, S, S] -> [n, o, S/2, S/2], or [n, o, S, S] where it does not halve; residual.

    first: on pixels, where there is nothing to activate yet.
    """

    def __init__(self, inputs: int, outputs: int, halve: bool, first: bool = False) -> None:
        super().__init__()
        self.halve, self.first = halve, first
        self.conv1 = nn.Conv2d(inputs, outputs, 3, padding=1)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1)
        self.shortcut = nn.Conv2d(inputs, outputs, 1)

    def forward(self, maps: Tensor) -> Tensor:
        inner = self.conv2(self.conv1(maps if self.first else maps.relu()).relu())
        if not self.halve:
            return inner + self.shortcut(maps)
        return F.avg_pool2d(inner, 2) + self.shortcut(F.avg_pool2d(maps, 2))


class Trunk(nn.Module):
    """F: images [n, 3, R, R] in [-1, 1] -> features [n, out_features], summed over the last map."""

    def __init__(self, width: int, resolution: int) -> None:
        super().__init__()
        levels = halvings(resolution)
        sizes = [3, *[channels(width, level) for level in range(levels + 1)]]
        self.out_features = sizes[-1]
        self.blocks = nn.Sequential(
            *[
                DownBlock(inputs, outputs, halve=level < levels, first=level == 0)
                for level, (inputs, outputs) in enumerate(zip(sizes[:-1], sizes[1:], strict=True))
            ]
        )

    def forward(self, images: Tensor) -> Tensor:
        return self.blocks(images).relu().sum((2, 3))


class ResidualMLP(nn.Module):
    """H and J: [n, inputs] -> [n, hidden] through residual blocks of two layers."""

    def __init__(self, inputs: int, hidden: int) -> None:
        super().__init__()
        self.first = nn.Linear(inputs, hidden)
        self.blocks = nn.ModuleList(
            nn.Sequential(nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU(), nn.Linear(hidden, hidden))
            for _ in range(MLP_BLOCKS)
        )

    def forward(self, inputs: Tensor) -> Tensor:
        hidden = self.first(inputs)
        for block in self.blocks:
            hidden = hidden + block(hidden)
        return hidden.relu()


class JointDiscriminator(nn.Module):
    """Three scores of a pair of image x and latent z (BigBiGAN, section 2): each weight's largest singular value is 1.

    s_x = theta_x . F(x), s_z = theta_z . H(z), s_xz = theta_xz . J(F(x), H(z)).
    """

    def __init__(self, latent: int, width: int, resolution: int) -> None:
        super().__init__()
        self.trunk = Trunk(width, resolution)
        hidden = self.trunk.out_features
        self.latent = ResidualMLP(latent, hidden)
        self.joint = ResidualMLP(2 * hidden, hidden)
        self.image_score, self.latent_score, self.joint_score = (nn.Linear(hidden, 1) for _ in range(3))
        _initialise(self)
        self._layers = [module for module in self.modules() if isinstance(module, (nn.Conv2d, nn.Linear))]
        for layer in self._layers:
            spectral_norm(layer)

    def forward(self, *pairs: Pair) -> list[Tensor]:
        """Scores float32 [n, 3], in the order s_x, s_z, s_xz, of each pair of images [n, 3, R, R] and latents.

        All pairs meet the same weights: in training, one step of the power iteration is made for all of them.
        """
        with parametrize.cached():
            with torch.autocast(pairs[0][0].device.type, enabled=False):  # singular values need all their digits
                for layer in self._layers:
                    _ = layer.weight  # normalises it, and keeps it for the block
            return [self._scores(*pair) for pair in pairs]

    def _scores(self, images: Tensor, latents: Tensor) -> Tensor:
        image, latent = self.trunk(images), self.latent(latents)
        joint = self.joint(torch.cat([image, latent], dim=1))
        scores = [self.image_score(image), self.latent_score(latent), self.joint_score(joint)]
        return torch.cat(scores, dim=1).float()


def _double(maps: Tensor) -> Tensor:
    return F.interpolate(maps, scale_factor=2.0, mode="nearest")


def _initialise(network: nn.Module) -> None:
    """Orthogonal weights, as BigGAN's, and no biases, from torch's global generator."""
    for module in network.modules():
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            nn.init.orthogonal_(module.weight)
            nn.init.zeros_(module.bias)
