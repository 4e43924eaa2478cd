"""What stands on a backbone: projection heads and classifiers."""

from __future__ import annotations

from torch import Tensor, nn


def mlp(*sizes: int, norm: bool = False, last_bias: bool = True) -> nn.Sequential:
    """Linear layers with ReLU between them, and batch normalisation before each ReLU if `norm`.

    `mlp(512, 512, 128)` is SimCLR's projection head: Linear(512, 512), ReLU, Linear(512, 128).
    """
    layers: list[nn.Module] = []
    for inputs, outputs in zip(sizes[:-2], sizes[1:-1], strict=True):
        layers.append(nn.Linear(inputs, outputs, bias=not norm))  # batch normalisation has a bias of its own
        layers += [nn.BatchNorm1d(outputs), nn.ReLU(inplace=True)] if norm else [nn.ReLU(inplace=True)]
    return nn.Sequential(*layers, nn.Linear(sizes[-2], sizes[-1], bias=last_bias))


class Classifier(nn.Module):
    """A backbone with one linear layer on its features: [n, 3, R, R] to logits [n, classes].

    frozen: a linear probe. The backbone's weights want no gradients, and it is always in evaluation mode, so that its
        running statistics stay as they are, too.
    """

    def __init__(self, backbone: nn.Module, classes: int, frozen: bool = False) -> None:
        super().__init__()
        self.backbone = backbone.requires_grad_(not frozen)
        self.head = nn.Linear(backbone.out_features, classes)
        self.frozen = frozen

    def train(self, mode: bool = True) -> Classifier:
        super().train(mode)
        self.backbone.train(mode and not self.frozen)
        return self

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.backbone(images))
