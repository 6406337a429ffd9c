"""What many devices cost here, and what they would take for a large set.

  python -m benchmarks.scaling [--quick] [--json=FILE]

1. Strong scaling (one batch split over more devices) and weak scaling (a batch
   as large for each device) of a small U-Net's training step, over virtual CPU
   devices and over two processes on loopback. The devices share this machine's
   cores: the figures tell the overhead of splitting, not the speed of more.
2. The rate at which one core reads and decodes 512 px records of array_record.
3. A model of an epoch of 377 000 images at 512 px on 256 chips.

docs/performance.md has the figures, and the model's inputs and errors.
"""

import argparse
import dataclasses
import io
import json
import os
import pathlib
import re
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence

import numpy as np

SIDE, WIDTH = 64, 8
_BYTES = {"pred": 1, "bf16": 2, "f16": 2, "f32": 4, "s32": 4, "u32": 4}


def reduced_bytes(hlo: str) -> tuple[int, int]:
  """Number and bytes of the all-reduces in a compiled program's text."""
  count, total = 0, 0
  for line in hlo.splitlines():
    found = re.search(r"= (.+?) all-reduce(-start)?\(", line)
    if found:
      count += 1
      for kind, shape in re.findall(r"(\w+)\[([\d,]*)\]", found[1]):
        size = int(np.prod([int(n) for n in shape.split(",") if n]))
        total += _BYTES[kind] * size
  return count, total


def measure_step(*, batch_size: int, steps: int) -> dict[str, float]:
  """The training step of S over all devices of all processes."""
  import jax
  import optax

  from apppau_jax.training import parallel

  step, init = _player("unet", optax.sgd(0.01), depth=2)
  mesh = parallel.make_mesh(batch_size=batch_size)
  state = parallel.compile_init(init, mesh)
  rng = np.random.default_rng(0)
  image = rng.integers(0, 256, (64, SIDE, SIDE, 1)).astype(np.uint8)
  data = parallel.replicate(_batch(image), mesh)
  order = [
    rng.integers(0, 64, batch_size).astype(np.int32) for _ in range(steps + 2)
  ]
  run = parallel.compile_train_step(step, mesh)
  run = run.lower(state, data, order[0]).compile()
  count, total = reduced_bytes(run.as_text())
  took = []
  for rows in order:
    began = time.perf_counter()
    state, metrics = run(state, data, rows)
    jax.block_until_ready((state, metrics))
    took.append(time.perf_counter() - began)
  took = sorted(took[2:])  # the first ones warm up
  return {
    "devices": mesh.size,
    "processes": jax.process_count(),
    "batch_size": batch_size,
    "ms": 1e3 * statistics.median(took),
    "ms_iqr": 1e3 * (took[3 * len(took) // 4] - took[len(took) // 4]),
    "all_reduces": count,
    "all_reduce_bytes": total,
  }


def _player(
  preset: str, optimizer, *, width: int = WIDTH, side: int = SIDE, depth=4
):
  """S alone under soft Dice: its step and its first state."""
  import jax
  import jax.numpy as jnp

  from apppau_jax.losses import dice, objectives
  from apppau_jax.models import segmentor
  from apppau_jax.training import state as state_lib
  from apppau_jax.training import steps

  module = segmentor.from_preset(preset, base_width=width, depth=depth)

  def prepare(key, batch):
    image = batch.image.astype(jnp.float32) / 255.0
    return batch.replace(image=image, mask=batch.mask.astype(jnp.float32))

  def objective(output, batch):
    return objectives.segmentation_objective(
      output.side_logits,
      batch.mask,
      has_mask=batch.has_mask,
      loss_fn=dice.dice_loss,
    )

  def init():
    player = state_lib.init_player(
      module,
      jnp.zeros((1, side, side, 1)),
      key=jax.random.key(0),
      optimizer=optimizer,
    )
    return state_lib.TrainState(step=jnp.int32(0), segmentor=player)

  step = steps.make_train_step(
    module,
    objective=objective,
    optimizer=optimizer,
    prepare=prepare,
    ema_decay=0.9,
    seed=0,
  )
  return step, init


def _batch(image: np.ndarray):
  from apppau_jax.batch import Batch

  count = len(image)
  return Batch(
    image=image,
    mask=(image > 128).astype(np.uint8),
    label=np.zeros(count, np.int32),
    has_mask=np.ones(count, bool),
    has_label=np.ones(count, bool),
  )


def demand(*, width: int, side: int) -> dict[str, float]:
  """What a PPAU-Net's step asks of the machine; nothing is compiled.

  Each BatchNorm has two statistics, summed over all devices in the forward
  and in the backward pass: an upper bound, for the compiler joins some.
  """
  import jax
  import optax

  from apppau_jax.training.state import parameter_count

  step, init = _player("ppau_unet", optax.sgd(0.01), width=width, side=side)
  state = jax.eval_shape(init)
  batch = jax.eval_shape(lambda: _batch(np.zeros((2, side, side, 1), np.uint8)))
  cost = jax.jit(step).lower(state, batch).cost_analysis()
  return {
    "flop_per_image": cost["flops"] / 2,
    "parameters": parameter_count(state.segmentor.params),
    "small_reductions": 2 * len(jax.tree.leaves(state.segmentor.batch_stats)),
  }


def read_rate(*, side: int = 512, count: int = 128) -> dict[str, float]:
  """Records a second of an array_record file, decoded, on one core."""
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


@dataclasses.dataclass(frozen=True, kw_only=True)
class Slice:
  """What the model is told of the machine and the network.

  Attributes:
    chips: number of them.
    peak_flops: bf16 FLOP/s of one.
    link_bytes: bytes/s of all links of one chip together.
    latency: seconds of a small all-reduce over all chips.
    chips_per_host: chips that one host feeds.
    cores_per_host: that decode; `data.prefetch` has four threads.
    flop_per_image: of a training step.
    parameters: of S; gradients travel in float32.
    small_reductions: all-reduces of BatchNorm's statistics a step.
    read_per_core: images a second that one core reads and decodes.
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
  """Seconds of an epoch's parts; nothing overlaps but the reading.

  Args:
    machine: the inputs.
    images: of the data set.
    per_chip: images a chip and step.
    share: of the peak that the networks' arithmetic reaches, in (0, 1].

  Returns:
    `compute`, `gradients` and `statistics` in seconds a step, `step`, the
    larger of their sum and `read`, and `epoch`, all in seconds.
  """
  compute = per_chip * machine.flop_per_image / (machine.peak_flops * share)
  # A ring sends every byte twice, less the share that is one's own.
  sent = 2 * (machine.chips - 1) / machine.chips * 4 * machine.parameters
  gradients = sent / machine.link_bytes + machine.latency
  small = machine.small_reductions * machine.latency
  feeding = machine.read_per_core * machine.cores_per_host
  read = per_chip * machine.chips_per_host / feeding
  step = max(compute + gradients + small, read)
  return {
    "compute": compute,
    "gradients": gradients,
    "statistics": small,
    "read": read,
    "step": step,
    "epoch": step * -(-images // (machine.chips * per_chip)),
  }


def _child(*, devices: int, processes: int, batch_size: int, steps: int):
  """A measurement in processes of its own, for devices are chosen once."""
  with socket.socket() as at:
    at.bind(("127.0.0.1", 0))
    port = at.getsockname()[1]
  started = [
    subprocess.Popen(
      [sys.executable, "-m", "benchmarks.scaling", "--child", str(number),
       f"--processes={processes}", f"--port={port}",
       f"--batch_size={batch_size}", f"--steps={steps}"],
      env={**os.environ, "JAX_NUM_CPU_DEVICES": str(devices)},
      stdout=subprocess.PIPE,
      stderr=subprocess.DEVNULL,
      text=True,
    )
    for number in range(processes)
  ]  # fmt: skip
  said = [process.communicate()[0] for process in started]
  if any(process.returncode for process in started):
    raise RuntimeError(f"{devices} devices, {processes} processes: failed")
  return json.loads(said[0].splitlines()[-1])


def _measure(*, quick: bool) -> dict[str, list]:
  steps = 5 if quick else 15
  # Devices of a process, and processes.
  layouts = ((1, 1), (2, 1), (1, 2)) if quick else (
    (1, 1), (2, 1), (4, 1), (8, 1), (1, 2), (2, 2),
  )  # fmt: skip
  found: dict[str, list] = {"strong": [], "weak": []}
  for kind, rows in found.items():
    for devices, processes in layouts:
      total = devices * processes
      size = 16 if kind == "strong" else 4 * total
      row = _child(
        devices=devices, processes=processes, batch_size=size, steps=steps
      )
      # Ideal here: the same cores do the same work, however it is split.
      alone = rows[0] if rows else row
      work = size / alone["batch_size"]
      row["overhead"] = row["ms"] / (alone["ms"] * work) - 1.0
      rows.append(row)
      print(
        f"{kind:6} {processes} x {devices} devices, batch {size:3}: "
        f"{row['ms']:7.1f} ms (IQR {row['ms_iqr']:.1f}), overhead "
        f"{row['overhead']:+6.1%}, {row['all_reduces']} all-reduces of "
        f"{row['all_reduce_bytes'] / 1e3:.0f} kB",
        flush=True,
      )
  return found


def _model() -> tuple[dict, list[dict]]:
  reading = read_rate()
  machine = Slice(
    **demand(width=32, side=512), read_per_core=reading["images_per_core_s"]
  )
  print(
    f"reading: {reading['images_per_core_s']:.0f} images/s a core of "
    f"{reading['bytes_per_image'] / 1e3:.0f} kB; PPAU-Net, width 32, 512 px: "
    f"{machine.flop_per_image / 1e9:.0f} GFLOP an image, "
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


def main(argv: Sequence[str] | None = None) -> None:
  """Measures, prints, writes."""
  flags = argparse.ArgumentParser(description=__doc__)
  flags.add_argument("--quick", action="store_true")
  flags.add_argument("--json", type=pathlib.Path)
  flags.add_argument("--child", type=int, help=argparse.SUPPRESS)
  for name in ("processes", "port", "batch_size", "steps"):
    flags.add_argument(f"--{name}", type=int, help=argparse.SUPPRESS)
  given = flags.parse_args(argv)
  from launch import runtime

  runtime.set_up()
  if given.child is not None:
    import jax

    from apppau_jax.training import processes

    if given.processes > 1:
      jax.distributed.initialize(
        f"127.0.0.1:{given.port}", given.processes, given.child
      )
      processes.meet()
    print(
      json.dumps(measure_step(batch_size=given.batch_size, steps=given.steps))
    )
    return
  measured = _measure(quick=given.quick)
  inputs, rows = _model()
  if given.json:
    from apppau_jax import files
    from launch import workdir

    report = {**measured, "inputs": inputs, "model": rows}
    report["environment"] = workdir.environment()
    files.write_json(given.json, report)


if __name__ == "__main__":
  main()
