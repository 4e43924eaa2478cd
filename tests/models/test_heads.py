"""The classifier on a backbone, with all of it trained or its head alone."""

from __future__ import annotations

import pytest
import torch

from noisewise.models.backbone import build_backbone
from noisewise.models.heads import Classifier


@pytest.mark.parametrize("backbone", ["resnet18", "vit_tiny"])
def test_a_frozen_encoder_stays_as_it_is_to_the_bit(backbone):
    model = Classifier(build_backbone(backbone, "small", 16), 3, frozen=True).train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    wanting = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimiser = torch.optim.SGD(wanting, lr=0.1, weight_decay=0.1)
    images = torch.randn(8, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    model(images).logsumexp(1).sum().backward()
    optimiser.step()
    same = {name: torch.equal(value, before[name]) for name, value in model.state_dict().items()}
    assert {name for name, equal in same.items() if not equal} == {"head.weight", "head.bias"}
    assert len(wanting) == 2


def test_an_encoder_that_is_not_frozen_learns_and_follows_the_mode():
    model = Classifier(build_backbone("resnet18", "small", 16), 3).train()
    assert model.backbone.training and all(parameter.requires_grad for parameter in model.parameters())
    assert not model.eval().backbone.training


def test_a_frozen_encoder_is_in_evaluation_mode_while_its_head_trains():
    model = Classifier(build_backbone("resnet18", "small", 16), 3, frozen=True)
    assert not any(module.training for module in model.train().backbone.modules())
    assert model.training and model.head.training
    assert not model.eval().training
