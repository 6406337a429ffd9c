"""All measurements on a GPU, by one command.

  python -m benchmarks.gpu --json=gpu.json
  python -m benchmarks.gpu --smoke          # tiny, on a CPU: tests the script
  python -m benchmarks.gpu --parts=convolutions,calls

Parts: `convolutions` (every shape of the U-Net, forward and both gradients, in
bfloat16 and TF32), `kernels` (the kernels of a step by duration), `calls` (K
steps per call against a Python loop), `buffers` (command buffers on and off),
`seeds` (five seeds one after the other, unrolled in one program, by vmap),
`compilation` (cold and warm), `determinism` (the cost of deterministic
kernels), `steps` and `predictions` (against PyTorch eager, compiled, mixed
precision). Each part runs in a process of its own, so that the others run if it
fails; its failure is reported in its place. The parts need JAX with CUDA (extra
`cuda`) and PyTorch (extra `bench`). Each takes minutes, because XLA times many
cuDNN algorithms for every convolution before the first step.
"""

import json
import os
import pathlib
import subprocess
import sys
import tempfile

from absl import app, flags

from benchmarks import round_robin

PARTS = (
  "convolutions",
  "kernels",
  "calls",
  "buffers",
  "seeds",
  "compilation",
  "determinism",
  "steps",
  "predictions",
)

_JSON = flags.DEFINE_string("json", None, "File to write the results to.")
_SMOKE = flags.DEFINE_bool(
  "smoke", False, "Tiny sizes: only tests that the parts run."
)
_PARTS = flags.DEFINE_list("parts", list(PARTS), "Parts to run.")
# An empty list: XLA captures nothing in CUDA graphs.
_NO_BUFFERS = "--xla_gpu_enable_command_buffer="
_DETERMINISTIC = "--xla_gpu_exclude_nondeterministic_ops=true"


def main(argv) -> None:
  """Run the parts one after the other."""
  del argv
  results = {}
  for part in _PARTS.value:
    print(f"\n## {part}\n", flush=True)
    try:
      results[part] = _RUN[part]()
    except (RuntimeError, subprocess.SubprocessError) as error:
      results[part] = {"failed": str(error)}
      print(f"failed: {error}")
    if part not in ("steps", "predictions"):
      print(json.dumps(results[part], indent=1))
    # Written after each part, in case a later one does not end.
    round_robin.write(_JSON.value, results)
  failed = [part for part, found in results.items() if "failed" in found]
  print(f"{len(results)} parts, failed: {', '.join(failed) or 'none'}")


def _probe(part: str, *, flags: str = "", cache: str | None = None) -> dict:
  """Run one part of `benchmarks.probes` with its own XLA flags."""
  environment = dict(os.environ)
  if flags:
    before = environment.get("XLA_FLAGS", "")
    environment["XLA_FLAGS"] = f"{before} {flags}".strip()
  if cache:
    environment["JAX_COMPILATION_CACHE_DIR"] = cache
    environment["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
  command = [sys.executable, "-m", "benchmarks.probes", part]
  done = subprocess.run(
    [*command, *(["--smoke"] if _SMOKE.value else [])],
    cwd=round_robin.ROOT,
    env=environment,
    capture_output=True,
    text=True,
    check=False,
  )
  if done.returncode:
    raise RuntimeError(done.stderr.strip()[-2000:])
  return json.loads(done.stdout.splitlines()[-1])


def _on_and_off(flag: str) -> dict:
  """Measure a step without and with a flag of XLA's GPU compiler."""
  plain = _probe("step")
  if plain["backend"] == "cpu":  # its compiler does not have the flag
    return {"without": plain}
  return {"without": plain, f"with {flag}": _probe("step", flags=flag)}


def _compilation() -> dict:
  with tempfile.TemporaryDirectory() as cache:
    cold = _probe("compilation", cache=cache)
    return {"cold": cold, "warm": _probe("compilation", cache=cache)}


def _against_torch(module: str) -> dict:
  """Run another benchmark, and return its JSON."""
  with tempfile.TemporaryDirectory() as folder:
    path = pathlib.Path(folder) / "found.json"
    small = ("--quick", "--nets=unet", "--width=2", "--resolution=32")
    command = [sys.executable, "-m", f"benchmarks.{module}", f"--json={path}"]
    command += small if _SMOKE.value else ("--width=32",)
    subprocess.run(command, cwd=round_robin.ROOT, check=True)
    return json.loads(path.read_text())


_RUN = {
  "convolutions": lambda: _probe("convolutions"),
  "kernels": lambda: _probe("kernels"),
  "calls": lambda: _probe("calls"),
  "buffers": lambda: _on_and_off(_NO_BUFFERS),
  "seeds": lambda: _probe("seeds"),
  "compilation": _compilation,
  "determinism": lambda: _on_and_off(_DETERMINISTIC),
  "steps": lambda: _against_torch("step"),
  "predictions": lambda: _against_torch("predict"),
}


if __name__ == "__main__":
  app.run(main)
