"""Eqs. (1) and (3) to (8) in PyTorch: logits in, `[b]` out."""

from collections.abc import Callable, Sequence

import torch
from torch.nn import functional

Loss = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


def tversky(
  logits: torch.Tensor,
  mask: torch.Tensor,
  *,
  alpha: float = 0.3,
  beta: float = 0.7,
  smooth: float = 1e-6,
) -> torch.Tensor:
  """Eq. (4); alpha weighs false positives, beta false negatives."""
  p = torch.sigmoid(logits)
  dims = (1, 2, 3)
  tp = (p * mask).sum(dims)
  fp = (p * (1 - mask)).sum(dims)
  fn = ((1 - p) * mask).sum(dims)
  return 1 - (tp + smooth) / (tp + alpha * fp + beta * fn + smooth)


def kl_tversky(
  logits: torch.Tensor,
  mask: torch.Tensor,
  *,
  weight: float = 0.2,
  eps: float = 1e-3,
  **options: float,
) -> torch.Tensor:
  """Eq. (3)'s loss, both channels, the target smoothed by `eps`."""
  y = mask.clamp(eps, 1 - eps)
  divergence = (y - torch.sigmoid(logits)) * (torch.logit(y) - logits)
  return weight * divergence.mean((1, 2, 3)) + tversky(logits, mask, **options)


def cross_entropy_tversky(
  logits: torch.Tensor, mask: torch.Tensor, **options: float
) -> torch.Tensor:
  """XETV."""
  entropy = functional.binary_cross_entropy_with_logits(
    logits, mask, reduction="none"
  )
  return entropy.mean((1, 2, 3)) + tversky(logits, mask, **options)


LOSSES: dict[str, Loss] = {
  "tversky": tversky,
  "kl_tversky": kl_tversky,
  "cross_entropy_tversky": cross_entropy_tversky,
}


def deeply_supervised(
  sides: Sequence[torch.Tensor], mask: torch.Tensor, *, loss: Loss
) -> torch.Tensor:
  """Eq. (1), weights doubling with the resolution and summing to one."""
  total = torch.zeros(len(mask), device=mask.device)
  for i, logits in enumerate(sides):
    target = mask
    if logits.shape != mask.shape:
      shrunk = functional.adaptive_avg_pool2d(mask, logits.shape[2:])
      target = (shrunk >= 0.5).to(mask.dtype)
    total = total + 2**i / (2 ** len(sides) - 1) * loss(logits, target)
  return total


def adversarial(fake: torch.Tensor) -> torch.Tensor:
  """Eq. (5), non-saturating: -log(1 - P(fake)) of logits `[b, n + 1]`."""
  return torch.logsumexp(fake, 1) - torch.logsumexp(fake[:, :-1], 1)


def discriminator(
  real: torch.Tensor,
  fake: torch.Tensor,
  label: torch.Tensor,
  *,
  conditional: bool,
) -> torch.Tensor:
  """L_D, eqs. (6) to (8), weights 1, 1/2, 1/2; a scalar."""
  among = real[:, :-1] if conditional else real
  classes = functional.cross_entropy(among, label)
  of_real = adversarial(real).mean()
  of_fake = -functional.log_softmax(fake, 1)[:, -1].mean()
  return classes + (of_real + of_fake) / 2
