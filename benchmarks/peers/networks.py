"""S and D in PyTorch; submodules have our names, so that weights match."""

import torch
from torch import nn
from torch.nn import functional

PRESETS = {
  "unet": {},
  "attention_unet": {"attention": True},
  "ppau_unet": {"pyramid": True, "progressive": True, "attention": True},
}


class Norm(nn.Sequential):
  """Batch normalisation, under the name of the inner module of ours."""

  def __init__(self, width: int):
    super().__init__()
    self.add_module("bn", nn.BatchNorm2d(width, eps=1e-5, momentum=0.1))


class ConvBlock(nn.Sequential):
  """3x3 convolution, batch normalisation, ReLU, `repeats` times."""

  def __init__(self, entering: int, width: int, repeats: int = 2):
    super().__init__()
    for i in range(1, repeats + 1):
      conv = nn.Conv2d(entering, width, 3, padding=1, bias=False)
      self.add_module(f"conv{i}", conv)
      self.add_module(f"norm{i}", Norm(width))
      self.add_module(f"relu{i}", nn.ReLU(inplace=True))
      entering = width


class Up(nn.Sequential):
  """2x2 transposed convolution of stride 2, batch normalisation."""

  def __init__(self, entering: int, width: int):
    super().__init__()
    up = nn.ConvTranspose2d(entering, width, 2, stride=2, bias=False)
    self.add_module("conv", up)
    self.add_module("norm", Norm(width))


class AttentionGate(nn.Module):
  """Oktay et al. 2018's grid gate; eq. (2)."""

  def __init__(self, skip: int, gating: int):
    super().__init__()
    inner = max(1, skip // 2)
    self.theta = nn.Conv2d(skip, inner, 2, stride=2, bias=False)
    self.phi = nn.Conv2d(gating, inner, 1)
    self.psi = nn.Conv2d(inner, 1, 1)
    self.out = nn.Conv2d(skip, skip, 1, bias=False)
    self.norm = Norm(skip)

  def forward(self, skip: torch.Tensor, gating: torch.Tensor):
    """Return the gated skip and its coefficients, at the skip's size."""
    alpha = torch.sigmoid(
      self.psi(functional.relu(self.theta(skip) + self.phi(gating)))
    )
    alpha = functional.interpolate(alpha, scale_factor=2, mode="bilinear")
    return self.norm(self.out(alpha * skip)), alpha


class Segmentor(nn.Module):
  """U-Net; with all three switches PPAU-Net."""

  def __init__(
    self,
    *,
    pyramid: bool = False,
    progressive: bool = False,
    attention: bool = False,
    base_width: int = 32,
    depth: int = 4,
  ):
    super().__init__()
    self.pyramid, self.progressive = pyramid, progressive
    self.attention, self.depth = attention, depth
    entering = 1
    for level in range(1, depth + 1):
      width = base_width * 2 ** (level - 1)
      if pyramid and level > 1:
        self.add_module(f"pyramid{level}", ConvBlock(1, width, 1))
        entering += width
      self.add_module(f"E{level}", ConvBlock(entering, width))
      entering = width
    self.add_module("B", ConvBlock(entering, 2 * entering))
    entering *= 2
    for level in range(depth, 0, -1):
      width = base_width * 2 ** (level - 1)
      if attention:
        self.add_module(f"AG{level}", AttentionGate(width, entering))
      self.add_module(f"up{level}", Up(entering, width))
      self.add_module(f"D{level}", ConvBlock(2 * width, width))
      if progressive or level == 1:
        self.add_module(f"head{level}", nn.Conv2d(width, 1, 1))
      entering = width

  def forward(self, image: torch.Tensor) -> list[torch.Tensor]:
    """Map images `[b, 1, h, w]` to logits `[b, 1, h_i, w_i]`, finest last."""
    x, skips = image, []
    for level in range(1, self.depth + 1):
      if level > 1:
        x = functional.max_pool2d(x, 2)
        if self.pyramid:
          image = functional.avg_pool2d(image, 2)
          entry = getattr(self, f"pyramid{level}")(image)
          x = torch.cat([entry, x], dim=1)
      x = getattr(self, f"E{level}")(x)
      skips.append(x)
    x = self.B(functional.max_pool2d(x, 2))
    sides: list[torch.Tensor] = []
    for level in range(self.depth, 0, -1):
      skip = skips[level - 1]
      if self.attention:
        skip, _ = getattr(self, f"AG{level}")(skip, x)
      x = torch.cat([getattr(self, f"up{level}")(x), skip], dim=1)
      x = getattr(self, f"D{level}")(x)
      if self.progressive or level == 1:
        logits = getattr(self, f"head{level}")(x).float()
        if sides:
          coarser = functional.interpolate(
            sides[-1], scale_factor=2, mode="bilinear"
          )
          logits = logits + coarser
        sides.append(logits)
    return sides


class Discriminator(nn.Module):
  """Four 5x5 convolutions of stride 2 on (image, mask), n + 1 logits."""

  def __init__(
    self,
    *,
    num_classes: int = 2,
    base_width: int = 32,
    depth: int = 4,
    dropout: float = 0.4,
  ):
    super().__init__()
    self.depth, entering = depth, 2
    self.drop = nn.Dropout(dropout)
    for stage in range(1, depth + 1):
      width = base_width * 2 ** (stage - 1)
      conv = nn.Conv2d(entering, width, 5, stride=2, bias=False)
      self.add_module(f"stage{stage}", conv)
      self.add_module(f"stage{stage}_norm", Norm(width))
      entering = width
    self.head = nn.Linear(entering, num_classes + 1)

  def forward(self, image: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Map pairs, each `[b, 1, h, w]`, to logits `[b, n + 1]`."""
    x = torch.cat([image, mask], dim=1)
    for stage in range(1, self.depth + 1):
      # "SAME" at stride 2 in JAX: one pixel more on the far side.
      x = getattr(self, f"stage{stage}")(functional.pad(x, (1, 2, 1, 2)))
      x = functional.leaky_relu(getattr(self, f"stage{stage}_norm")(x), 0.2)
      x = self.drop(x)
    return self.head(x.float().mean(dim=(2, 3)))
