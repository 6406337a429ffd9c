"""The measurements of `benchmarks.gpu`, each for a process of its own.

  python -m benchmarks.probes convolutions

The last line that it prints is a JSON object.
"""

import collections
import contextlib
import functools
import gzip
import json
import pathlib
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from typing import Any

from apppau_jax import runtime
from benchmarks import ours
from benchmarks.spec import Spec

SMOKE = "--smoke" in sys.argv
REPEATS = 2 if SMOKE else 12
SECONDS = next(
  (float(word[10:]) for word in sys.argv if word.startswith("--seconds=")),
  600.0,
)
_TRACED = 2  # steps under the profiler


def _spec(**changes: Any) -> Spec:
  size = {"width": 1, "batch": 2, "resolution": 16}
  if not SMOKE:
    size = {"width": 32, "batch": 16, "resolution": 128}
  fixed = {"work": "step", "by": "ours", "net": "unet", "dtype": "bfloat16"}
  return Spec(**{**size, **fixed, **changes})


def _median(turn: Callable[[], Any]) -> float:
  """Return the median seconds of a call, after two calls to warm up."""
  import jax

  took = []
  for _ in range(REPEATS + 2):
    began = time.perf_counter()
    jax.block_until_ready(turn())
    took.append(time.perf_counter() - began)
  return statistics.median(took[2:])


def convolutions() -> dict[str, Any]:
  """Measure each 3x3 convolution: milliseconds, share of the matrix rate."""
  import jax
  import jax.numpy as jnp

  from apppau_jax.experiment import cost

  spec, rows = _spec(), []
  for dtype in ("bfloat16", "float32"):
    rate = cost.matrix_rate(dtype)
    for level in range(1 if SMOKE else 5):
      side, width = spec.resolution >> level, spec.width << level
      x = jnp.ones((spec.batch, side, side, width), dtype)
      kernel = jnp.ones((3, 3, width, width), dtype)
      conv = functools.partial(
        jax.lax.conv_general_dilated,
        window_strides=(1, 1),
        padding="SAME",
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
      )
      flops = 2.0 * x.size * 9 * width
      row: dict[str, Any] = {"side": side, "width": width, "dtype": dtype}
      # x also serves as the gradient of the result: the shapes are equal.
      for name, turn in {
        "forward": conv,
        "dx": lambda x, k, conv=conv: jax.vjp(lambda y: conv(y, k), x)[1](x),
        "dw": lambda x, k, conv=conv: jax.vjp(lambda y: conv(x, y), k)[1](x),
      }.items():
        seconds = _median(functools.partial(jax.jit(turn), x, kernel))
        row[name] = {"ms": seconds * 1e3, "share": flops / seconds / rate}
      rows.append(row)
  return {"rows": rows}


def kernels() -> dict[str, Any]:
  """Measure the kernels of a step on the device, the longest first."""
  import jax

  turn, facts = ours.prepare(_spec())
  turn(3)
  options = jax.profiler.ProfileOptions()
  options.python_tracer_level = 0
  with tempfile.TemporaryDirectory() as folder:
    with jax.profiler.trace(folder, profiler_options=options):
      turn(_TRACED)
    found = _device_events(pathlib.Path(folder))
  spent: collections.Counter[str] = collections.Counter()
  counts: collections.Counter[str] = collections.Counter()
  for name, milliseconds in found:
    spent[name] += milliseconds / _TRACED
    counts[name] += 1
  return {
    "ms": spent.total(),
    "kernels": counts.total() / _TRACED,
    "longest": [
      {"name": name, "ms": ms, "a step": counts[name] / _TRACED}
      for name, ms in spent.most_common(20)
    ],
    **facts,
  }


def _device_events(folder: pathlib.Path) -> list[tuple[str, float]]:
  """Return names and milliseconds of the GPU events in JAX's trace."""
  found = []
  for path in folder.rglob("*.trace.json.gz"):
    with gzip.open(path) as file:
      events = json.load(file)["traceEvents"]
    places = {
      event["pid"]: event["args"]["name"]
      for event in events
      if event.get("name") == "process_name"
    }
    found += [
      (event["name"], event["dur"] / 1e3)
      for event in events
      if event.get("ph") == "X"
      and "GPU" in places.get(event["pid"], "")
      and "hlo_op" in event.get("args", {})
    ]
  return found


def compilation() -> dict[str, Any]:
  """Measure the seconds until the first step of both players is done."""
  began = time.perf_counter()
  turn, facts = ours.prepare(_spec(net="unet" if SMOKE else "appau"))
  turn(1)
  return {"first_step_s": time.perf_counter() - began, **facts}


def dice() -> dict[str, Any]:
  """Measure the lung Dice of trainings on phantoms, by type and by seed.

  The types take turns, so that each seed has both when the time ends.
  """
  import apppau_jax
  from apppau_jax.datasets import prepare
  from apppau_jax.experiment import recipe_file
  from apppau_jax.phantoms import draw_set

  ends = time.monotonic() + SECONDS
  found: dict[str, list[float]] = {"float32": [], "bfloat16": []}
  took = 0.0
  with tempfile.TemporaryDirectory() as folder:
    if SMOKE:  # a run would draw 200
      raw_dir = draw_set.draw(f"{folder}/data", count=24, size=128)
      prepare.prepare("phantom", raw_dir=raw_dir, data_dir=f"{folder}/data")
    for seed in range(1 if SMOKE else 3):
      for dtype, values in found.items():
        began = time.monotonic()
        if ends - began < 1.2 * took:
          break
        config = recipe_file.to_config(
          f"configs/phantom.py{':quick' if SMOKE else ''}"
        )
        config.seed, config.model.dtype = seed, dtype
        config.model.base_width = 1 if SMOKE else 32
        config.data.data_dir = f"{folder}/data"
        if SMOKE:
          config.model.preset = "unet"
        run = apppau_jax.fit(config, workdir=f"{folder}/{dtype}-{seed}")
        report = run.report("test")
        values.append(report["segmentation"]["dice"]["mean"])
        took = time.monotonic() - began
  pairs = list(zip(found["bfloat16"], found["float32"]))
  return {**found, "differences": [half - full for half, full in pairs]}


def main() -> None:
  """Measure the part that the first argument names."""
  parts = (convolutions, kernels, compilation, dice)
  by_name = {part.__name__: part for part in parts}
  if sys.argv[1:2] == [] or sys.argv[1] not in by_name:
    sys.exit(f"usage: python -m benchmarks.probes {'|'.join(by_name)}")
  with contextlib.redirect_stdout(sys.stderr):
    runtime.set_up()
    found = by_name[sys.argv[1]]()
  print(json.dumps(found))


if __name__ == "__main__":
  main()
