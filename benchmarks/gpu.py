"""All measurements on a GPU, by one command that knows its time.

  python -m benchmarks.gpu --minutes=12 --json=gpu.json
  python -m benchmarks.gpu --smoke          # tiny, on a CPU: tests the script
  python -m benchmarks.gpu --parts=unet,dice

Parts, the most valuable first:

  unet         a step of the U-Net against PyTorch (eager, compiled, with CUDA
               graphs; mixed precision), batch 16 and 128
  appau        a step of both players against the same
  variants     the U-Net's step with three and five seeds in one program, in
               TF32, with one step a call, without command buffers, with
               deterministic kernels, and with flags of XLA, each alone
  dice         lung Dice of trainings in bfloat16 and in float32, three seeds
  kernels      the kernels of a step by duration
  ppau_unet    a step of PPAU-Net against PyTorch
  predictions  prediction against PyTorch
  compilation  cold and warm
  convolutions every shape of the U-Net, forward and both gradients

The contenders of a part compile at the same time, in processes of their own,
and then take turns. A part is not started if what it usually takes, or half of
it, does not fit into the minutes that are left, and what is left bounds it. The
results are written after every part. The parts need JAX with CUDA (extra
`cuda`) and PyTorch (extra `bench`).
"""

import functools
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from typing import Any

from absl import app, flags

from benchmarks import round_robin

_JSON = flags.DEFINE_string("json", None, "File to write the results to.")
_MINUTES = flags.DEFINE_float("minutes", 60.0, "Minutes for all parts.")
_SMOKE = flags.DEFINE_bool(
  "smoke", False, "Tiny sizes: only tests that the parts run."
)
_PARTS = flags.DEFINE_list("parts", [], "Parts to run; all if empty.")
# Flags whose effect on a step is unknown. An empty list of command buffers
# turns CUDA graphs off.
_XLA_FLAGS = {
  "no command buffers": "--xla_gpu_enable_command_buffer=",
  "deterministic": "--xla_gpu_exclude_nondeterministic_ops=true",
  "conv fusion": "--xla_gpu_experimental_enable_conv_fusion=true",
  "runtime fusion": "--xla_gpu_use_runtime_fusion=true",
  "NHWC forced": "--xla_gpu_force_conv_nhwc=true",
}
_RESERVE = 5.0  # seconds, to end processes and write


def main(argv) -> None:
  """Run the parts one after the other, as far as the time goes."""
  del argv
  ends = time.monotonic() + 60.0 * _MINUTES.value
  results: dict[str, Any] = {}
  for name in _PARTS.value or PARTS:
    left = ends - time.monotonic() - _RESERVE
    usual, part = PARTS[name]
    print(f"\n## {name}, {left:.0f} s left\n", flush=True)
    began = time.monotonic()
    if left < usual / 2 and not _SMOKE.value:
      found: dict[str, Any] = {"skipped": f"{usual:.0f} s, {left:.0f} s left"}
    else:
      try:
        found = part(left)
      except (RuntimeError, OSError, subprocess.SubprocessError) as error:
        found = {"failed": str(error)[-2000:]}
    results[name] = {**found, "seconds": time.monotonic() - began}
    print(json.dumps(results[name], indent=1), flush=True)
    round_robin.write(_JSON.value, results)
  for word in ("failed", "skipped"):
    names = [name for name, found in results.items() if word in found]
    print(f"{len(results)} parts, {word}: {', '.join(names) or 'none'}")


def _ours(**changes: Any) -> dict[str, Any]:
  size = {"width": 32, "batch": 16, "resolution": 128}
  length = {"steps": 20, "per_call": 20}
  if _SMOKE.value:
    size = {"width": 1, "batch": 2, "resolution": 16}
    length = {"steps": 2, "per_call": 2}
  fixed = {"work": "step", "by": "ours", "net": "unet", "dtype": "bfloat16"}
  return {**size, **length, **fixed, **changes}


def _torch(**changes: Any) -> dict[str, Any]:
  spec = _ours(by="torch", per_call=1, channels_last=True, **changes)
  # On one core, since its threads would spin where others work.
  return {**spec, "compiled": "", "cores": 1} if _SMOKE.value else spec


def _against_torch(net: str, left: float) -> dict[str, Any]:
  specs = {
    "ours": _ours(net=net),
    "torch AMP, graphs": _torch(net=net, compiled="graphs"),
    "torch AMP, compiled": _torch(net=net, compiled="default"),
    "torch AMP": _torch(net=net),
  }
  if net == "unet":
    large = {"batch": 4 if _SMOKE.value else 128}
    specs["ours, batch 128"] = _ours(**large)
    specs["torch AMP, graphs, batch 128"] = _torch(compiled="graphs", **large)
  return _compete(specs, left=left)


def _variants(left: float) -> dict[str, Any]:
  specs = {
    "ours": _ours(),
    "3 seeds": _ours(seeds=2 if _SMOKE.value else 3),
    "TF32": _ours(dtype="float32"),
    "1 step a call": _ours(per_call=1),
  }
  if not _SMOKE.value:  # XLA:CPU has none of the flags, and compiles slowly
    specs |= {"5 seeds": _ours(seeds=5)}
    specs |= {name: _ours(xla_flags=f) for name, f in _XLA_FLAGS.items()}
  return _compete(specs, left=left)


def _compete(
  specs: Mapping[str, Mapping[str, Any]], *, left: float
) -> dict[str, Any]:
  """Return a row for each contender, with `times_ours` per image."""
  rounds = 2 if _SMOKE.value else 12
  contenders = round_robin.compete(specs, rounds=rounds, limit=left - 30.0)
  rows = []
  for contender in contenders:
    spec = specs[contender.name]
    images = spec["batch"] * spec.get("seeds", 1)
    row = round_robin.row(contender, images=images)
    first = contenders[0]
    if first.name == "ours":
      ratio = round_robin.ratio(first, contender)
      row["times_ours"] = ratio * specs["ours"]["batch"] / images
    rows.append(row)
    print(
      f"{row['contender']}: {round_robin.milliseconds(row['wall_s'])} ms, "
      f"{row['images_per_s']:.0f} images/s, per image "
      f"{row.get('times_ours', float('nan')):.2f} times ours"
    )
  late = [name for name in specs if name not in {c.name for c in contenders}]
  return {"rows": rows, "left_out": late}


def _probe(part: str, left: float, *, cache: str | None = None) -> dict:
  """Run one part of `benchmarks.probes`."""
  environment = dict(os.environ)
  if cache:
    environment["JAX_COMPILATION_CACHE_DIR"] = cache
    environment["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
  command = [sys.executable, "-m", "benchmarks.probes", part]
  command.append(f"--seconds={left - 10.0:.0f}")
  done = subprocess.run(
    [*command, *(["--smoke"] if _SMOKE.value else [])],
    cwd=round_robin.ROOT,
    env=environment,
    capture_output=True,
    text=True,
    check=False,
    timeout=left,
  )
  if done.returncode:
    raise RuntimeError(done.stderr.strip()[-2000:])
  return json.loads(done.stdout.splitlines()[-1])


def _compilation(left: float) -> dict:
  ends = time.monotonic() + left
  with tempfile.TemporaryDirectory() as cache:
    cold = _probe("compilation", left, cache=cache)
    left = ends - time.monotonic()
    return {"cold": cold, "warm": _probe("compilation", left, cache=cache)}


def _predictions(left: float) -> dict:
  with tempfile.TemporaryDirectory() as folder:
    path = pathlib.Path(folder) / "found.json"
    small = ("--quick", "--nets=unet", "--width=2", "--resolution=32")
    command = [sys.executable, "-m", "benchmarks.predict", f"--json={path}"]
    command += small if _SMOKE.value else ("--width=32",)
    subprocess.run(command, cwd=round_robin.ROOT, check=True, timeout=left)
    return json.loads(path.read_text())


# The seconds that each part usually takes on a bare machine with one H100 and
# 16 cores, estimated from earlier compilations, and what it runs.
PARTS: dict[str, tuple[float, Callable[[float], dict[str, Any]]]] = {
  "unet": (170.0, functools.partial(_against_torch, "unet")),
  "appau": (230.0, functools.partial(_against_torch, "appau")),
  "variants": (150.0, _variants),
  "dice": (150.0, functools.partial(_probe, "dice")),
  "kernels": (40.0, functools.partial(_probe, "kernels")),
  "ppau_unet": (190.0, functools.partial(_against_torch, "ppau_unet")),
  "predictions": (200.0, _predictions),
  "compilation": (200.0, _compilation),
  "convolutions": (120.0, functools.partial(_probe, "convolutions")),
}


if __name__ == "__main__":
  app.run(main)
