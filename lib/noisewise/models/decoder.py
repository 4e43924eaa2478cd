"""From a code back to an image: a small convolutional decoder for any resolution."""

from __future__ import annotations

from torch import Tensor, nn

SMALLEST_SIDE = 4  # of the first feature map; it has less than twice that
FEWEST_CHANNELS = 16


def doubled(resolution: int) -> tuple[int, int]:
    """The side s of the first feature map and how often it is doubled, k: s = ceil(R / 2^k), 4 <= s <= 8.

    Below 4 pixels there is no doubling, and s = R.
    """
    doublings = max(0, (resolution // SMALLEST_SIDE).bit_length() - 1)
    return -(-resolution // 2**doublings), doublings


class Decoder(nn.Module):
    """Codes [n, latent] to logits [n, 3, R, R]; their sigmoid is an image in [0, 1].

    A linear layer makes a map of `width` channels, 4 to 8 pixels a side. Each doubling of the side is nearest-neighbour
    upsampling and a 3x3 convolution, which leave no checkerboard as transposed convolutions do, and halves the
    channels, down to 16. Batch normalisation and ReLU follow each layer but the last. Where R is not s * 2^k the
    borders are cut off, evenly. A doubling costs as much as the one before it: with 512 channels at 224 pixels that is
    1.2 billion multiplications an image, two thirds of a ResNet-18's.

    Args:
        latent: dimensions of the code.
        width: channels of the first map.
        resolution: R, pixels.
    """

    def __init__(self, latent: int, width: int, resolution: int) -> None:
        super().__init__()
        self.resolution = resolution
        side, doublings = doubled(resolution)
        channels = [max(width >> done, min(width, FEWEST_CHANNELS)) for done in range(doublings + 1)]
        self.first = nn.Sequential(
            nn.Linear(latent, width * side**2),
            nn.Unflatten(1, (width, side, side)),
            nn.BatchNorm2d(width),
            nn.ReLU(inplace=True),
        )
        self.doublings = nn.Sequential(
            *(_doubling(*pair) for pair in zip(channels[:-1], channels[1:], strict=True)),
        )
        self.last = nn.Conv2d(channels[-1], 3, kernel_size=3, padding=1)

    def forward(self, code: Tensor) -> Tensor:
        logits = self.last(self.doublings(self.first(code)))
        border = (logits.shape[-1] - self.resolution) // 2
        inside = slice(border, border + self.resolution)
        return logits[:, :, inside, inside]


def _doubling(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Upsample(scale_factor=2, mode="nearest"),
        nn.Conv2d(inputs, outputs, kernel_size=3, padding=1, bias=False),  # batch normalisation has a bias of its own
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    )
