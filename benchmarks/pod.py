"""A model of an epoch on a pod, for data sets too large for one machine.

Its inputs are the operations of a step by XLA's count and the rate at which one
core reads records; docs/performance.md lists them and the model's errors.
"""

import dataclasses
import io
import pathlib
import tempfile
import time

import numpy as np

from benchmarks import toy_network


@dataclasses.dataclass(frozen=True, kw_only=True)
class Slice:
  """The inputs of the model: the machine and the network.

  Attributes:
    chips: Number of chips.
    peak_flops: bf16 FLOP/s of one chip.
    link_bytes: Bytes/s of all links of one chip together.
    latency: Seconds of a small all-reduce over all chips.
    chips_per_host: Chips that one host provides with data.
    cores_per_host: Cores that decode.
    flop_per_image: Operations of a training step per image.
    parameters: Number of S's parameters; gradients are sent in float32.
    small_reductions: All-reduces of BatchNorm's statistics per step.
    read_per_core: Images per second that one core reads and decodes.
  """

  chips: int = 256
  peak_flops: float = 197e12
  link_bytes: float = 200e9
  latency: float = 30e-6
  chips_per_host: int = 4
  cores_per_host: int = 4
  flop_per_image: float
  parameters: int
  small_reductions: int
  read_per_core: float


def epoch(
  machine: Slice, *, images: int, per_chip: int, share: float
) -> dict[str, float]:
  """Return the seconds of an epoch's parts; only reading overlaps.

  Args:
    machine: The inputs.
    images: Number of images in the data set.
    per_chip: Images per chip and step.
    share: Share of the peak that the networks' arithmetic reaches, in (0, 1].

  Returns:
    `compute`, `gradients` and `statistics` of a step, `step`, the larger of
    their sum and `read`, and `epoch`, all in seconds.
  """
  compute = per_chip * machine.flop_per_image / (machine.peak_flops * share)
  # A ring sends every byte twice, except for the chip's own share.
  sent = 2 * (machine.chips - 1) / machine.chips * 4 * machine.parameters
  gradients = sent / machine.link_bytes + machine.latency
  small = machine.small_reductions * machine.latency
  read_per_host = machine.read_per_core * machine.cores_per_host
  read = per_chip * machine.chips_per_host / read_per_host
  step = max(compute + gradients + small, read)
  return {
    "compute": compute,
    "gradients": gradients,
    "statistics": small,
    "read": read,
    "step": step,
    "epoch": step * -(-images // (machine.chips * per_chip)),
  }


def demand(*, width: int, side: int) -> dict[str, float]:
  """Count the work of a PPAU-Net's step, without compiling it.

  Each BatchNorm has two statistics, summed over all devices in the forward and
  in the backward pass. This is an upper bound, because the compiler joins some.
  """
  import jax
  import optax

  from apppau_jax.training.state import parameter_count

  sgd = optax.sgd(0.01)
  step, init = toy_network.player("ppau_unet", sgd, width=width, side=side)
  state = jax.eval_shape(init)
  image = np.zeros((2, side, side, 1), np.uint8)
  batch = jax.eval_shape(lambda: toy_network.batch(image))
  cost = jax.jit(step).lower(state, batch).cost_analysis()
  return {
    "flop_per_image": cost["flops"] / 2,
    "parameters": parameter_count(state.segmentor.params),
    "small_reductions": 2 * len(jax.tree.leaves(state.segmentor.batch_stats)),
  }


def read_rate(*, side: int = 512, count: int = 128) -> dict[str, float]:
  """Measure records per second of an array_record file, decoded on one core."""
  from array_record.python import array_record_data_source, array_record_module
  from PIL import Image

  y, x = np.mgrid[:side, :side] / side
  smooth = 120 + 80 * np.sin(5 * x) * np.cos(4 * y)
  rng = np.random.default_rng(0)
  with tempfile.TemporaryDirectory() as folder:
    path = str(pathlib.Path(folder) / "pictures.array_record")
    writer = array_record_module.ArrayRecordWriter(path, "group_size:1")
    size = 0
    for _ in range(count):
      noisy = smooth + rng.normal(0, 2, smooth.shape)
      picture = io.BytesIO()
      Image.fromarray(noisy.astype(np.uint8)).save(picture, "PNG")
      size += len(picture.getvalue())
      writer.write(picture.getvalue())
    writer.close()
    order = rng.permutation(count)
    source = array_record_data_source.ArrayRecordDataSource(path)
    began = time.perf_counter(), time.process_time()
    for start in range(0, count, 16):
      for record in source.__getitems__(order[start : start + 16].tolist()):
        np.asarray(Image.open(io.BytesIO(record), formats=("PNG",)))
    wall = time.perf_counter() - began[0]
    processor = time.process_time() - began[1]
  return {
    "images_per_core_s": count / processor,
    "wall_s": wall,
    "bytes_per_image": size / count,
  }


def predict() -> tuple[dict, list[dict]]:
  """Print and return the inputs, and epochs of 377 000 images, 256 chips."""
  reading = read_rate()
  machine = Slice(
    **demand(width=32, side=512), read_per_core=reading["images_per_core_s"]
  )
  print(
    f"reading: {reading['images_per_core_s']:.0f} images/s per core of "
    f"{reading['bytes_per_image'] / 1e3:.0f} kB; PPAU-Net, width 32, 512 px: "
    f"{machine.flop_per_image / 1e9:.0f} GFLOP per image, "
    f"{machine.parameters / 1e6:.2f} M parameters"
  )
  rows = []
  for per_chip in (4, 8, 16):
    for share in (0.15, 0.3):
      row = epoch(machine, images=377_000, per_chip=per_chip, share=share)
      rows.append({"per_chip": per_chip, "share": share, **row})
      print(
        f"256 chips, {per_chip:2} images each, {share:.0%} of peak: step "
        f"{1e3 * row['step']:.1f} ms (compute {1e3 * row['compute']:.1f}, "
        f"gradients {1e3 * row['gradients']:.2f}, statistics "
        f"{1e3 * row['statistics']:.2f}, reading {1e3 * row['read']:.2f}), "
        f"epoch {row['epoch']:.1f} s"
      )
  return {**dataclasses.asdict(machine), "reading": reading}, rows
