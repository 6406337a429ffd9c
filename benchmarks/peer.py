"""The PyTorch side of a comparison."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from benchmarks.peers import losses, networks, steps
from benchmarks.spec import Spec, Turn

IMAGES = 64


def prepare(spec: Spec) -> tuple[Turn, dict[str, Any]]:
  """Build the networks; return a turn and the facts about it (none)."""
  torch.manual_seed(0)
  torch.backends.cudnn.benchmark = True
  torch.set_float32_matmul_precision("high")  # TF32, like JAX
  torch.backends.cudnn.allow_tf32 = True
  make = _step if spec.work == "step" else _predict
  return make(spec), {}


def _device() -> str:
  return "cuda" if torch.cuda.is_available() else "cpu"


def _data(spec: Spec) -> torch.Tensor:
  rng = np.random.default_rng(0)
  shape = (IMAGES, 1, spec.resolution, spec.resolution)
  image = torch.from_numpy(rng.integers(0, 256, shape).astype(np.uint8))
  return image.to(_device())


def _built(module: torch.nn.Module, spec: Spec) -> Any:
  module = module.to(_device())
  if spec.channels_last:
    module = module.to(memory_format=torch.channels_last)
  return _compiled(module, spec)


def _compiled(what: Any, spec: Spec) -> Any:
  """Return a network or a loss, compiled if the contender compiles."""
  if not spec.compiled:
    return what
  mode = "reduce-overhead" if spec.compiled == "graphs" else "default"
  return torch.compile(what, mode=mode, dynamic=False)


def _segmentor(spec: Spec) -> Any:
  preset = "ppau_unet" if spec.net == "appau" else spec.net
  net = networks.Segmentor(base_width=spec.width, **networks.PRESETS[preset])
  return _built(net, spec)


def _adam(module: torch.nn.Module, rate: float) -> torch.optim.Optimizer:
  fused = _device() == "cuda" or None
  return torch.optim.Adam(module.parameters(), lr=rate, fused=fused)


def _step(spec: Spec) -> Turn:
  image, half = _data(spec), spec.batch // 2
  mask = (image > 127).to(torch.uint8)
  label = torch.arange(IMAGES, device=image.device) % 2
  net = _segmentor(spec)
  amp = spec.dtype == "bfloat16"

  def take(rows: torch.Tensor):
    x = steps.normalize(image[rows])
    if spec.channels_last:
      x = x.contiguous(memory_format=torch.channels_last)
    return x, mask[rows].float(), label[rows]

  rows = torch.arange(spec.batch, device=image.device)
  if spec.net != "appau":
    step = steps.Supervised(
      segmentor=net,
      optimizer=_adam(net, 1e-3),
      loss=losses.kl_tversky,
      over_sides=_compiled(losses.deeply_supervised, spec),
      amp=amp,
    )
    return _turn(lambda: step(*take(rows)[:2]), spec)
  rows = torch.cat([rows[:half], IMAGES // 2 + rows[:half]])
  discriminator = _built(networks.Discriminator(base_width=spec.width), spec)
  game = steps.TwoPlayers(
    segmentor=net,
    discriminator=discriminator,
    optimizer=_adam(net, 1e-5),
    discriminator_optimizer=_adam(discriminator, 1e-4),
    loss=losses.kl_tversky,
    labelled=half,
    over_sides=_compiled(losses.deeply_supervised, spec),
    amp=amp,
  )
  return _turn(lambda: game(take(rows), take(rows.flip(0)))[1], spec)


def _turn(once: Callable[[], torch.Tensor], spec: Spec) -> Turn:
  """Return a turn that calls `once`, which returns a loss, and then waits."""

  def turn(count: int) -> None:
    for _ in range(count):
      if spec.compiled == "graphs":  # frees the results of earlier steps
        torch.compiler.cudagraph_mark_step_begin()
      loss = once()
    if not np.isfinite(float(loss)):  # reading the loss waits for the device
      raise FloatingPointError("the loss of PyTorch's side is not finite")

  return turn


def _predict(spec: Spec) -> Turn:
  net = _segmentor(spec).eval()
  image = _data(spec).cpu().repeat(-(-spec.batch // IMAGES), 1, 1, 1)
  image = image[: spec.batch]

  def turn(count: int) -> None:
    for _ in range(count):
      once()

  def once() -> None:
    with (
      torch.inference_mode(),
      steps.autocast(_device(), enabled=spec.dtype == "bfloat16"),
    ):
      x = steps.normalize(image.to(_device()))
      if spec.channels_last:
        x = x.contiguous(memory_format=torch.channels_last)
      torch.sigmoid(net(x)[-1]).cpu().numpy()

  return turn


def device_memory() -> dict[str, float]:
  """Return the peak bytes on a GPU."""
  if not torch.cuda.is_available():
    return {}
  return {"device_peak_mib": torch.cuda.max_memory_allocated() / 2**20}
