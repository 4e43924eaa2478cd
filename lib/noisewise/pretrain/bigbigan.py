"""BigBiGAN: Large Scale Adversarial Representation Learning (arXiv 1907.02544).

A generator G makes images of latents z ~ N(0, I), the encoder E makes latents of images x, and a discriminator tells
the pairs (x, E(x)), y = +1, from the pairs (G(z), z), y = -1, by three scores of the image, the latent and both:
s_x, s_z and s_xz. With h(t) = max(0, 1 - t), its loss of a pair is

    h(y s_x) + h(y s_z) + h(y s_xz)

and that of encoder and generator together is y (s_x + s_z + s_xz) (section 2). Both are averaged over the pairs of
each kind and summed over the two kinds. The only way to deceive it for good is an E and a G that invert each other.

E(x) is a draw from N(mu(x), sigma(x)), both of a linear layer on the encoder's features, sigma through softplus. The
discriminator makes `discriminator_steps` steps for one of E and G. Here all of them see the same images, each step in
new views and with new latents; the original takes new images for each. The original's encoder also learns ten times
as fast in its better runs, and sees images of twice the resolution; here it is one rate and one resolution.

The losses are checked against hand-computed cases, the singular values against torch's decomposition, and a whole
batch of steps on two ranks against one. Batch normalisation spans all ranks.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from noisewise.data.augment import evaluation_view
from noisewise.models.gan import Generator, JointDiscriminator
from noisewise.pretrain.method import PretrainMethod
from noisewise.runs.config import Normalise
from noisewise.runs.methods import BigBiGAN
from noisewise.train.method import Batch

SAMPLES = 16  # images drawn from always the same latents at each look
AS_THEY_ARE = Normalise(mean=[0.0] * 3, std=[1.0] * 3)


def discriminator_loss(scores: Tensor, y: int) -> Tensor:
    """Hinge loss of each pair.

    Args:
        scores: [n, 3], of image, latent and both.
        y: +1 for the encoder's pairs, -1 for the generator's.

    Returns:
        [n], summed over the three scores.
    """
    return F.relu(1 - y * scores).sum(dim=1)


def encoder_generator_loss(scores: Tensor, y: int) -> Tensor:
    """Loss of each pair for those who make it, [n]; arguments as for `discriminator_loss`."""
    return y * scores.sum(dim=1)


LOSSES = {"discriminator": discriminator_loss, "encoder_generator": encoder_generator_loss}


class Method(PretrainMethod):
    """The encoder with its head for latents, the generator and the joint discriminator."""

    recipe: BigBiGAN

    def __init__(self, *parts: Any) -> None:
        super().__init__(*parts)
        recipe = self.recipe
        self.turns = (*["discriminator"] * recipe.discriminator_steps, "encoder_generator")
        self.head = nn.Linear(self.encoder.out_features, 2 * recipe.latent)
        nn.init.orthogonal_(self.head.weight)
        nn.init.zeros_(self.head.bias)
        self.generator = Generator(recipe.latent, recipe.width, recipe.resolution)
        self.discriminator = JointDiscriminator(recipe.latent, recipe.width, recipe.resolution)

    def trained(self, turn: str) -> list[nn.Parameter]:
        """The discriminator's weights in its turns; the encoder's, its head's and the generator's in theirs."""
        if turn == "discriminator":
            return list(self.discriminator.parameters())
        return [weight for part in (self.encoder, self.head, self.generator) for weight in part.parameters()]

    def forward(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        view = self.augment.view(batch.images, batch.generator, batch.rows, batch.total)
        noise, latents = batch.normal(self.recipe.latent), batch.normal(self.recipe.latent)
        mean, deviation = self.encode(view)
        made = self.generator(latents)
        real, fake = self.discriminator((2 * view - 1, mean + deviation * noise), (made, latents))
        loss = LOSSES[batch.turn]
        value = batch.mean(loss(real, +1) + loss(fake, -1))
        if batch.turn != "discriminator":  # its own steps tell how well it tells them apart
            return value, {}
        joint = {"real_score": real[:, 2], "fake_score": fake[:, 2]}
        return value, {name: batch.mean(score.detach()) for name, score in joint.items()}

    def encode(self, view: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation [n, latent] of the latents of images [n, 3, R, R] in [0, 1]."""
        mean, deviation = self.head(self.encoder(self.augment.normalised(view))).float().chunk(2, dim=1)
        return mean, F.softplus(deviation)

    def pictures(self, images: Tensor) -> dict[str, Tensor]:
        """`samples`: of always the same latents. `reconstructions`: the images, then G of their latents' means."""
        generator = torch.Generator().manual_seed(0)
        latents = torch.randn(SAMPLES, self.recipe.latent, generator=generator).to(images.device)
        view = evaluation_view(images, self.augment.resolution, AS_THEY_ARE)
        again = self.generator(self.encode(view)[0])
        return {
            "samples": _in_unit_range(self.generator(latents)),
            "reconstructions": torch.cat([view, _in_unit_range(again)]),
        }


def _in_unit_range(images: Tensor) -> Tensor:
    return (images.float() + 1) / 2
