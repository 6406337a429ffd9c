"""The training steps in PyTorch: S alone, and Algorithm 1's two players."""

import contextlib
import dataclasses
from collections.abc import Callable

import torch
from torch import nn

from benchmarks.peers import losses


def normalize(image: torch.Tensor) -> torch.Tensor:
  """Each image `[b, 1, h, w]` uint8 to [0, 1], darkest 0, brightest 1."""
  x = image.float()
  low, high = x.amin((1, 2, 3), True), x.amax((1, 2, 3), True)
  return (x - low) / (high - low).clamp(min=1)


def autocast(device: str, *, enabled: bool):
  """bfloat16 where PyTorch deems it safe, or nothing."""
  if not enabled:
    return contextlib.nullcontext()
  return torch.autocast(device, torch.bfloat16)


@dataclasses.dataclass(kw_only=True)
class Supervised:
  """One step of S on images whose masks are known."""

  segmentor: nn.Module
  optimizer: torch.optim.Optimizer
  loss: losses.Loss
  over_sides: Callable[..., torch.Tensor] = losses.deeply_supervised
  amp: bool = False

  def __call__(self, image: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Descends; float images and masks `[b, 1, h, w]`; returns the loss."""
    self.segmentor.train()
    with autocast(image.device.type, enabled=self.amp):
      sides = self.segmentor(image)
    loss = self.over_sides(sides, mask, loss=self.loss).mean()
    self.optimizer.zero_grad(set_to_none=True)
    loss.backward()
    self.optimizer.step()
    return loss.detach()


@dataclasses.dataclass(kw_only=True)
class TwoPlayers:
  """One round of Algorithm 1; the first `labelled` rows have masks."""

  segmentor: nn.Module
  discriminator: nn.Module
  optimizer: torch.optim.Optimizer
  discriminator_optimizer: torch.optim.Optimizer
  loss: losses.Loss
  labelled: int
  adversarial_weight: float = 0.01
  conditional: bool = False
  over_sides: Callable[..., torch.Tensor] = losses.deeply_supervised
  amp: bool = False

  def __call__(self, for_d, for_s) -> tuple[torch.Tensor, torch.Tensor]:
    """Two minibatches (image, mask, label); the losses of D and of S."""
    return self._judge(*for_d), self._draw(for_s[0], for_s[1])

  def _judge(self, image, mask, label) -> torch.Tensor:
    self.segmentor.train()
    self.discriminator.train()
    seen = slice(0, self.labelled)
    with autocast(image.device.type, enabled=self.amp):
      # The next forward must not find its statistics moved by this one.
      with torch.no_grad(), _frozen_statistics(self.segmentor):
        fake = torch.sigmoid(self.segmentor(image)[-1])
      logits = self.discriminator(
        torch.cat([image[seen], image]), torch.cat([mask[seen], fake])
      )
    loss = losses.discriminator(
      logits[seen],
      logits[self.labelled :],
      label[seen],
      conditional=self.conditional,
    )
    self.discriminator_optimizer.zero_grad(set_to_none=True)
    loss.backward()
    self.discriminator_optimizer.step()
    return loss.detach()

  def _draw(self, image, mask) -> torch.Tensor:
    self.discriminator.eval()
    seen = slice(0, self.labelled)
    with autocast(image.device.type, enabled=self.amp):
      sides = self.segmentor(image)
      fake = self.discriminator(image, torch.sigmoid(sides[-1]))
    loss = self.over_sides(
      [side[seen] for side in sides], mask[seen], loss=self.loss
    ).mean()
    loss = loss + self.adversarial_weight * losses.adversarial(fake).mean()
    self.optimizer.zero_grad(set_to_none=True)
    loss.backward()
    self.optimizer.step()
    return loss.detach()


@contextlib.contextmanager
def _frozen_statistics(module: nn.Module):
  """BatchNorm by the batch's statistics, its running ones left alone."""
  norms = [m for m in module.modules() if isinstance(m, nn.BatchNorm2d)]
  kept = [norm.momentum for norm in norms]
  for norm in norms:
    norm.momentum = 0.0
  try:
    yield
  finally:
    for norm, momentum in zip(norms, kept):
      norm.momentum = momentum
