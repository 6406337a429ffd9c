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

import numpy as np

from apppau_jax import runtime
from benchmarks import ours
from benchmarks.spec import Spec

SMOKE = "--smoke" in sys.argv
SEEDS = 2 if SMOKE else 5
REPEATS = 2 if SMOKE else 12
STEPS = 2 if SMOKE else 50  # per call of several steps
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


def step() -> dict[str, Any]:
  """Measure a step of one network and of two players."""
  import jax

  found = {"backend": jax.default_backend()}
  for net in ("unet", "appau"):
    turn, facts = ours.prepare(_spec(net=net))
    seconds = _median(functools.partial(turn, 1))
    share = facts["flops"] / seconds / facts["matrix_rate"]
    found[net] = {"ms": seconds * 1e3, "share": share, **facts}
  return found


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
  turn, facts = ours.prepare(_spec(net="appau"))
  turn(1)
  return {"first_step_s": time.perf_counter() - began, **facts}


def _parts() -> tuple[Any, Any, Any, np.ndarray]:
  """Return a pure step, its initialisation, a data set and a batch's rows."""
  import jax

  from apppau_jax.experiment import cost

  made = ours.config(_spec())
  pure, init = cost.step_and_init(made, images=ours.IMAGES)
  shape = (ours.IMAGES, made.data.resolution, made.data.resolution, 1)
  image = np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)
  resident = ours.resident(image, labelled=ours.IMAGES)
  rows = np.arange(made.train.batch_size, dtype=np.int32)
  return pure, jax.jit(init), resident, rows


def calls() -> dict[str, Any]:
  """Measure a step's milliseconds with one and with K steps per call."""
  import jax

  from apppau_jax.training import parallel

  pure, init, resident, rows = _parts()
  mesh = parallel.make_mesh(batch_size=len(rows), devices=jax.devices()[:1])
  resident, found = parallel.replicate(resident, mesh), {}
  for count in (1, STEPS):
    run = parallel.compile_train_step(pure, mesh, steps_per_call=count)
    given = rows if count == 1 else np.stack([rows] * count)
    states = [parallel.replicate(init(), mesh)]

    def turn(run=run, given=given, states=states, count=count):
      for _ in range(STEPS // count):
        states[0], metrics = run(states[0], resident, given)
      return states[0], metrics

    found[f"{count} a call"] = _median(turn) / STEPS * 1e3
  return found


def seeds() -> dict[str, Any]:
  """Measure the milliseconds of one step of every seed, in three forms."""
  import jax
  import jax.numpy as jnp

  pure, init, resident, rows = _parts()
  batch = resident.take(rows)
  states = [init() for _ in range(SEEDS)]
  one = jax.jit(pure)
  stacked = jax.tree.map(lambda *x: jnp.stack(x), *states)
  every = jax.jit(lambda states: [pure(state, batch) for state in states])
  mapped = jax.jit(jax.vmap(pure, in_axes=(0, None)))
  return {
    "one after the other": 1e3
    * _median(lambda: [one(state, batch) for state in states]),
    "unrolled": 1e3 * _median(lambda: every(states)),
    "vmap": 1e3 * _median(lambda: mapped(stacked, batch)),
  }


def main() -> None:
  """Measure the part that the first argument names."""
  parts = (convolutions, step, kernels, compilation, calls, seeds)
  by_name = {part.__name__: part for part in parts}
  if sys.argv[1:2] == [] or sys.argv[1] not in by_name:
    sys.exit(f"usage: python -m benchmarks.probes {'|'.join(by_name)}")
  with contextlib.redirect_stdout(sys.stderr):
    runtime.set_up()
    found = by_name[sys.argv[1]]()
  print(json.dumps(found))


if __name__ == "__main__":
  main()
