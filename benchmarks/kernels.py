"""Count the kernels of a training step that XLA compiles for an H100.

  python -m benchmarks.kernels
  python -m benchmarks.kernels --nets=unet --per_call=1 --flags=--xla_gpu_...
  python -m benchmarks.kernels --hlo=FOLDER      # keeps the compiled programs

No GPU is needed, only JAX with CUDA (extra `cuda`): XLA compiles for the card
that is described here. It cannot time cuDNN's algorithms without one, so that
each convolution counts as one kernel; cuDNN may launch more for it. Products of
matrices take Triton's kernels, where a card may choose cuBLAS.

Kinds: `convolution`; `matrix` (Triton or cuBLAS); `reduction` (a fusion that
sums, or takes a maximum); `elementwise` (any other fusion); `copy`; `other`.
"""

import collections
import json
import os
import pathlib
import re

from absl import app, flags

from benchmarks import round_robin
from benchmarks.spec import Spec

# What XLA asks about a card; NVIDIA's data sheet of the H100 SXM, 80 GB.
H100 = """
gpu_device_info {
  cuda_compute_capability { major: 9 }
  core_count: 132
  fpus_per_core: 128
  threads_per_warp: 32
  threads_per_block_limit: 1024
  threads_per_core_limit: 2048
  registers_per_core_limit: 65536
  registers_per_block_limit: 65536
  shared_memory_per_block: 49152
  shared_memory_per_block_optin: 232448
  shared_memory_per_core: 233472
  block_dim_limit_x: 2147483647
  block_dim_limit_y: 65535
  block_dim_limit_z: 65535
  clock_rate_ghz: 1.98
  l2_cache_size: 52428800
  memory_bandwidth: 3352320000000
  device_memory_size: 84942979072
}
platform_name: "CUDA"
dnn_version_info { major: 9 minor: 10 }
device_description_str: "NVIDIA H100 80GB HBM3"
"""
_NO_TIMING = "--xla_gpu_autotune_level=0"  # it needs a card

_JSON = flags.DEFINE_string("json", None, "File to write the results to.")
_NETS = flags.DEFINE_list(
  "nets", ["unet", "ppau_unet", "appau"], "Networks, see benchmarks.step."
)
_DTYPE = flags.DEFINE_string("dtype", "bfloat16", "bfloat16 or float32 (TF32).")
_WIDTH = flags.DEFINE_integer("width", 32, "Base width of S and D.")
_BATCH = flags.DEFINE_integer("batch", 16, "Images per minibatch.")
_PER_CALL = flags.DEFINE_integer("per_call", 20, "Steps of a call.")
_FLAGS = flags.DEFINE_string("flags", "", "Flags of XLA, in addition.")
_HLO = flags.DEFINE_string("hlo", None, "Folder for the compiled programs.")

_COMPUTATION = re.compile(r"^(?:ENTRY )?%?([\w.-]+) \(.*\{$")
_INSTRUCTION = re.compile(
  r"^  (?:ROOT )?%?[\w.-]+ = (?:\(.*?\)|\S+) ([\w-]+)\("
)
# These compute nothing: names for parts of memory, and the loop itself.
_FREE = {
  *("parameter", "constant", "tuple", "get-tuple-element", "bitcast", "while"),
  *("call", "after-all", "partition-id", "opt-barrier"),
}


def main(argv) -> None:
  """Compile every network, print and write the counts."""
  del argv
  os.environ["JAX_PLATFORMS"] = "cpu"  # of everything but these programs
  os.environ["JAX_SKIP_CUDA_CONSTRAINTS_CHECK"] = "1"  # there is no driver
  given = os.environ.get("XLA_FLAGS", "")
  os.environ["XLA_FLAGS"] = f"{given} {_NO_TIMING} {_FLAGS.value}".strip()
  found = {}
  for net in _NETS.value:
    spec = Spec(
      work="step",
      by="ours",
      net=net,
      width=_WIDTH.value,
      batch=_BATCH.value,
      resolution=128,
      dtype=_DTYPE.value,
      per_call=_PER_CALL.value,
    )
    program = compiled(spec)
    if _HLO.value:
      folder = pathlib.Path(_HLO.value)
      folder.mkdir(parents=True, exist_ok=True)
      (folder / f"{net}.txt").write_text(program)
    found[net] = count(program)
    print(f"{net}: {sum(found[net].values())} kernels a step", flush=True)
    print(json.dumps(found[net]), flush=True)
  round_robin.write(_JSON.value, {"nets": found, "flags": _FLAGS.value})


def compiled(spec: Spec) -> str:
  """Return XLA's program of a step for an H100, as text."""
  import jax
  import numpy as np
  from jax.experimental import topologies

  from apppau_jax.experiment import cost
  from apppau_jax.training import parallel
  from benchmarks import ours

  made = ours.config(spec)
  made.model.convolutions = "xla"
  card = topologies.get_topology_desc(
    platform="cuda", topology="1x1x1", target_config=H100
  )
  mesh = parallel.make_mesh(batch_size=spec.batch, devices=card.devices)
  step, init = cost.step_and_init(made, images=ours.IMAGES)
  shape = (2, spec.batch) if spec.net == "appau" else (spec.batch,)
  if spec.per_call > 1:
    shape = (spec.per_call, *shape)
  data = jax.eval_shape(
    lambda: ours.resident(
      np.zeros((ours.IMAGES, spec.resolution, spec.resolution, 1), np.uint8),
      labelled=ours.IMAGES,
    )
  )
  jitted = parallel.compile_train_step(step, mesh, steps_per_call=spec.per_call)
  given = parallel.shapes(init, mesh), data, np.zeros(shape, np.int32)
  return jitted.lower(*given).compile().as_text()


def count(program: str) -> dict[str, int]:
  """Count the kernels of a compiled program by kind, see the top.

  Args:
    program: HLO after XLA's optimisation. If it has a loop, that of several
      steps in a call, its body is counted, without what surrounds it.
  """
  bodies, entry = _computations(program)
  loop = [re.search(r"body=%?([\w.-]+)", line) for line in bodies[entry]]
  start = next((found[1] for found in loop if found), entry)
  counts: collections.Counter[str] = collections.Counter()
  left = [start]
  while left:
    for line in bodies[left.pop()]:
      found = _INSTRUCTION.match(line)
      if found is None:
        continue
      if found[1] == "call":  # such as a command buffer
        left += re.findall(r"to_apply=%?([\w.-]+)", line)
      if found[1] not in _FREE:
        counts[_kind(found[1], line, bodies)] += 1
  return dict(sorted(counts.items()))


def _computations(program: str) -> tuple[dict[str, list[str]], str]:
  """Return the lines of each computation by name, and the name of the first."""
  bodies: dict[str, list[str]] = {}
  name = entry = ""
  for line in program.splitlines():
    if found := _COMPUTATION.match(line):
      name = found[1]
      bodies[name] = []
      entry = name if line.startswith("ENTRY") else entry
    elif name:
      bodies[name].append(line)
  return bodies, entry


def _kind(opcode: str, line: str, bodies: dict[str, list[str]]) -> str:
  if opcode == "custom-call" or "kind=kCustom" in line:
    if "__cudnn$conv" in line:
      return "convolution"
    return "matrix" if "gemm" in line or "cublas" in line else "other"
  if opcode == "fusion":
    called = re.search(r"calls=%?([\w.-]+)", line)
    inside = bodies[called[1]] if called else []
    if any(" reduce(" in inner for inner in inside):
      return "reduction"
    return "elementwise"
  return "copy" if opcode in ("copy", "copy-start", "transpose") else "other"


if __name__ == "__main__":
  app.run(main)
