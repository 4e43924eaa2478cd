"""Auto-Encoding Variational Bayes (arXiv 1312.6114), the VAE, with a weight on the prior (arXiv 1804.03599).

An image's code is Gaussian: the encoder gives its mean mu and log-variance log s^2, and a sample of it,
z = mu + s * eps with eps ~ N(0, 1), is decoded to a Bernoulli distribution of each value. The negative of the evidence
lower bound (equation 10), with the weight beta on its second term, is

    - sum over values of log p(x | z)  -  beta / 2 * sum over dimensions of (1 + log s^2 - mu^2 - s^2)

averaged over the global batch. The loss is this divided by the number of values, 3 R^2: the minimum and the meaning of
beta stay, and loss and gradients are of the same size at every resolution.

Targets are the views in [0, 1], where a Bernoulli likelihood is one; the encoder alone sees them normalised. The
study's public code (arXiv 2401.07990) has normalised targets as well, for which the loss has no lower bound. Beta, the
size of the code and the optimiser are that code's.

The terms are checked against torch's own BCELoss and kl_divergence, the gradient against one derived by hand, and a
step on two ranks against one.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from noisewise.data import geometry
from noisewise.models.decoder import Decoder
from noisewise.pretrain.method import PretrainMethod
from noisewise.runs.methods import VAE
from noisewise.train.method import Batch

PICTURED = 8  # images, and samples of the prior
PICTURE_SEED = 0


def reconstruction_loss(logits: Tensor, target: Tensor) -> Tensor:
    """-log p(x | z) of each image, nats: Bernoulli cross-entropy summed over channels and pixels.

    logits, target: [n, 3, R, R], targets in [0, 1]; returns [n].
    """
    return F.binary_cross_entropy_with_logits(logits, target, reduction="none").sum((1, 2, 3))


def kl_divergence(mean: Tensor, log_variance: Tensor) -> Tensor:
    """KL(N(mu, s^2) || N(0, 1)) of each code, nats: summed over dimensions (equation 10); [n, latent] to [n].

    The log-variance needs no bounds: the exponential drives it back from above, well before it overflows at 88, and
    below nothing overflows. Cutting it off would leave an image beyond the bounds without a gradient back.
    """
    return -0.5 * (1 + log_variance - mean.square() - log_variance.exp()).sum(1)


class Method(PretrainMethod):
    """The encoder, one linear layer to the code's mean and log-variance, and a convolutional decoder.

    Statistics: "reconstruction", nats a value (0.69 is a grey image's); "kl", nats an image: near 0, the code says
    nothing of the image (posterior collapse). The loss is reconstruction + beta * kl / (3 R^2).
    """

    recipe: VAE

    def __init__(self, *parts: Any) -> None:
        super().__init__(*parts)
        recipe = self.recipe
        self.posterior = nn.Linear(self.encoder.out_features, 2 * recipe.latent)
        self.decoder = Decoder(recipe.latent, recipe.width, recipe.resolution)

    def encode(self, view: Tensor) -> tuple[Tensor, Tensor]:
        """Views [n, 3, R, R] in [0, 1] to mean and log-variance of their codes, [n, latent] each, in float32."""
        features = self.encoder(self.augment.normalised(view))
        with torch.autocast(view.device.type, enabled=False):  # bfloat16's 8 bits would be noise beside a small s
            mean, log_variance = self.posterior(features.float()).chunk(2, dim=1)
        return mean, log_variance

    def forward(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        view = self.augment.view(batch.images, batch.generator, batch.rows, batch.total)
        mean, log_variance = self.encode(view)
        code = mean + (log_variance / 2).exp() * batch.normal(self.recipe.latent)
        logits = self.decoder(code).float()
        reconstruction = batch.mean(reconstruction_loss(logits, view)) / view[0].numel()
        kl = batch.mean(kl_divergence(mean, log_variance))
        loss = reconstruction + self.recipe.beta * kl / view[0].numel()
        return loss, {"reconstruction": reconstruction.detach(), "kl": kl.detach()}

    def pictures(self, images: Tensor) -> dict[str, Tensor]:
        """Images over what the decoder makes of their codes' means; and what it makes of codes drawn from the prior."""
        images = images[:PICTURED]
        boxes = geometry.whole_boxes(len(images), images.shape[1]).to(images.device)
        view = geometry.crop(images, boxes, self.recipe.resolution).clamp_(0, 1)
        mean, _ = self.encode(view)
        drawn = torch.randn(PICTURED, self.recipe.latent, generator=torch.Generator().manual_seed(PICTURE_SEED))
        return {
            "reconstructions": torch.cat([view, self.decoder(mean).sigmoid()]),
            "samples": self.decoder(drawn.to(images.device)).sigmoid(),
        }
