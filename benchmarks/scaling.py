"""Measure the overhead of many devices, and model an epoch on a pod.

  python -m benchmarks.scaling [--quick] [--json=FILE]

1. Strong scaling (one batch split over more devices) and weak scaling (equal
   batches for all devices) of a small U-Net's training step, on virtual CPU
   devices and on two processes. All devices share this machine's cores, so
   the figures measure the overhead of splitting, not the gain of more cores.
2. The rate at which one core reads and decodes 512 px records of array_record.
3. A model of an epoch of 377 000 images at 512 px on 256 chips.

docs/performance.md has the figures and the model's inputs and errors.
"""

import argparse
import json
import os
import pathlib
import re
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence

import numpy as np

from benchmarks import pod, toy_network

SIDE, WIDTH = 64, 8
_BYTES = {"pred": 1, "bf16": 2, "f16": 2, "f32": 4, "s32": 4, "u32": 4}


def reduced_bytes(hlo: str) -> tuple[int, int]:
  """Return number and bytes of the all-reduces in a compiled program."""
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
  """Measure the training step of S on all devices of all processes."""
  import jax
  import optax

  from apppau_jax.training import parallel

  step, init = toy_network.player(
    "unet", optax.sgd(0.01), width=WIDTH, side=SIDE, depth=2
  )
  mesh = parallel.make_mesh(batch_size=batch_size)
  state = parallel.compile_init(init, mesh)
  rng = np.random.default_rng(0)
  image = rng.integers(0, 256, (64, SIDE, SIDE, 1)).astype(np.uint8)
  data = parallel.replicate(toy_network.batch(image), mesh)
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
  took = sorted(took[2:])  # the first two warm up
  return {
    "devices": mesh.size,
    "processes": jax.process_count(),
    "batch_size": batch_size,
    "ms": 1e3 * statistics.median(took),
    "ms_iqr": 1e3 * (took[3 * len(took) // 4] - took[len(took) // 4]),
    "all_reduces": count,
    "all_reduce_bytes": total,
  }


def _child(*, devices: int, processes: int, batch_size: int, steps: int):
  """Measure in new processes, because devices are chosen once per process."""
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
  outputs = [process.communicate()[0] for process in started]
  if any(process.returncode for process in started):
    raise RuntimeError(f"{devices} devices, {processes} processes: failed")
  return json.loads(outputs[0].splitlines()[-1])


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
      # Without overhead, the same cores take the same time for the same work.
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


def main(argv: Sequence[str] | None = None) -> None:
  """Measure; print and write the results."""
  flags = argparse.ArgumentParser(description=__doc__)
  flags.add_argument("--quick", action="store_true")
  flags.add_argument("--json", type=pathlib.Path)
  flags.add_argument("--child", type=int, help=argparse.SUPPRESS)
  for name in ("processes", "port", "batch_size", "steps"):
    flags.add_argument(f"--{name}", type=int, help=argparse.SUPPRESS)
  given = flags.parse_args(argv)
  from apppau_jax import runtime

  runtime.set_up()
  if given.child is not None:
    import jax

    from apppau_jax.training import distributed as processes

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
  inputs, rows = pod.predict()
  if given.json:
    from apppau_jax import files
    from apppau_jax.experiment import provenance

    report = {**measured, "inputs": inputs, "model": rows}
    report["environment"] = provenance.environment()
    files.write_json(given.json, report)


if __name__ == "__main__":
  main()
