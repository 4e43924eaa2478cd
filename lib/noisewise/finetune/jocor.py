"""JoCoR: Combating Noisy Labels by Agreement, a Joint Training Method with Co-Regularization (arXiv 2003.02752).

Two networks see the same batch and are trained together. With p1, p2 their probabilities and lambda the weight of
their agreement, the loss of a sample is (equations 1 to 4)

    (1 - lambda) (-log p1_y - log p2_y) + lambda (KL(p1 || p2) + KL(p2 || p1))

and only the share R(t) of the global batch on which it is smallest is learnt from: two networks agree on clean labels
sooner than on wrong ones. R(t) is Co-teaching's (`noisewise.finetune.coteaching`). As in the original code both
networks get gradients through the agreement. Checked against torch.distributions and hand-made picks, and two ranks
against one.
"""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

from noisewise.finetune import coteaching
from noisewise.finetune.coteaching import keep_share, small_loss
from noisewise.runs.methods import JoCoR
from noisewise.train.method import Batch


def joint_losses(first: Tensor, second: Tensor, labels: Tensor, agreement: float) -> Tensor:
    """The loss of each sample; logits [n, C] of the two networks, labels int64 [n]; returns [n]."""
    labelled = F.cross_entropy(first, labels, reduction="none") + F.cross_entropy(second, labels, reduction="none")
    one, two = first.log_softmax(1), second.log_softmax(1)
    apart = ((one.exp() - two.exp()) * (one - two)).sum(1)  # both divergences at once
    return (1 - agreement) * labelled + agreement * apart


class Method(coteaching.Method):
    """Co-teaching's two networks and its noise rate, with a loss and a pick in common."""

    recipe: JoCoR

    def forward(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        images, labels = self.view(batch)
        share = keep_share(batch.epoch, self.rate, self.recipe.ramp_epochs)
        first, second = self.first(images).float(), self.second(images).float()
        losses = joint_losses(first, second, labels, self.recipe.agreement)
        pick = small_loss(self.ranks.gather_rows(losses, batch.total), share)
        loss = (losses * pick[batch.rows]).sum() * (batch.world / pick.sum())
        return loss, {"keep_share": losses.new_full((), share)}
