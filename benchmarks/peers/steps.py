"""The training steps in PyTorch: S alone, and Algorithm 1's two players."""

import contextlib
import dataclasses
from collections.abc import Callable

import torch
from torch import nn

from benchmarks.peers import losses


def normalize(image: torch.Tensor) -> torch.Tensor:
  """Scale each image `[b, 1, h, w]` uint8 to [0, 1]."""
  x = image.float()
  low, high = x.amin((1, 2, 3), True), x.amax((1, 2, 3), True)
  return (x - low) / (high - low).clamp(min=1)


def autocast(device: str, *, enabled: bool):
  """Return a context of PyTorch's mixed precision, or an empty one."""
  if not enabled:
    return contextlib.nullcontext()
  return torch.autocast(device, torch.bfloat16)


@dataclasses.dataclass(kw_only=True)
class Supervised:
  """One step of S on labelled images."""

  segmentor: nn.Module
  optimizer: torch.optim.Optimizer
  loss: losses.Loss
  over_sides: Callable[..., torch.Tensor] = losses.deeply_supervised
  amp: bool = False

  def __call__(self, image: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Take a step; float images and masks `[b, 1, h, w]`; return the loss."""
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
    """Take two minibatches (image, mask, label); return D's and S's loss."""
    return self._step_of_d(*for_d), self._step_of_s(for_s[0], for_s[1])

  def _step_of_d(self, image, mask, label) -> torch.Tensor:
    self.segmentor.train()
    self.discriminator.train()
    labelled = slice(0, self.labelled)
    with autocast(image.device.type, enabled=self.amp):
      # This forward pass must not change the running statistics.
      with torch.no_grad(), _frozen_statistics(self.segmentor):
        fake = torch.sigmoid(self.segmentor(image)[-1])
      logits = self.discriminator(
        torch.cat([image[labelled], image]), torch.cat([mask[labelled], fake])
      )
    loss = losses.discriminator(
      logits[labelled],
      logits[self.labelled :],
      label[labelled],
      conditional=self.conditional,
    )
    self.discriminator_optimizer.zero_grad(set_to_none=True)
    loss.backward()
    self.discriminator_optimizer.step()
    return loss.detach()

  def _step_of_s(self, image, mask) -> torch.Tensor:
    self.discriminator.eval()
    labelled = slice(0, self.labelled)
    with autocast(image.device.type, enabled=self.amp):
      sides = self.segmentor(image)
      fake = self.discriminator(image, torch.sigmoid(sides[-1]))
    loss = self.over_sides(
      [side[labelled] for side in sides], mask[labelled], loss=self.loss
    ).mean()
    loss = loss + self.adversarial_weight * losses.adversarial(fake).mean()
    self.optimizer.zero_grad(set_to_none=True)
    loss.backward()
    self.optimizer.step()
    return loss.detach()


@contextlib.contextmanager
def _frozen_statistics(module: nn.Module):
  """Normalise by the batch's statistics; keep the running ones."""
  norms = [m for m in module.modules() if isinstance(m, nn.BatchNorm2d)]
  momenta = [norm.momentum for norm in norms]
  for norm in norms:
    norm.momentum = 0.0
  try:
    yield
  finally:
    for norm, momentum in zip(norms, momenta):
      norm.momentum = momentum
