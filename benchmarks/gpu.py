"""Everything to be learnt from a GPU, by one command.

  python -m benchmarks.gpu --json=gpu.json
  python -m benchmarks.gpu --smoke          # tiny, on a CPU: does it run?
  python -m benchmarks.gpu --parts=convolutions,calls

Parts: `convolutions` (every shape of the U-Net, forward and both gradients, in
bfloat16 and TF32), `kernels` (where a step's time goes), `calls` (K steps a
call against a Python loop), `buffers` (command buffers on and off), `seeds`
(five seeds one after the other, unrolled in one program, by vmap),
`compilation` (cold and warm), `determinism` (what deterministic kernels cost),
`steps` and `predictions` (against PyTorch eager, compiled, mixed precision).
Each runs in a process of its own, so that one that fails leaves the others;
its failure is reported in its place. The package needs JAX with CUDA (extra
`cuda`) and PyTorch (extra `bench`). Count on minutes for each: XLA times many
cuDNN algorithms of every convolution before the first step.
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
_SMOKE = flags.DEFINE_bool("smoke", False, "Tiny: only shows that it runs.")
_PARTS = flags.DEFINE_list("parts", list(PARTS), "Which parts.")
# What XLA captures into CUDA graphs; an empty list captures nothing.
_NO_BUFFERS = "--xla_gpu_enable_command_buffer="
_DETERMINISTIC = "--xla_gpu_exclude_nondeterministic_ops=true"


def main(argv) -> None:
  """Runs the parts one after the other."""
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
    round_robin.write(
      _JSON.value, results
    )  # what there is, should a later one hang
  failed = [part for part, found in results.items() if "failed" in found]
  print(f"{len(results)} parts, failed: {', '.join(failed) or 'none'}")


def _probe(part: str, *, flags: str = "", cache: str | None = None) -> dict:
  """One part of `benchmarks.probes`, in a process with its own XLA flags."""
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
  """A step without and with a flag of XLA's GPU compiler."""
  plain = _probe("step")
  if plain["backend"] == "cpu":  # the flag would be unknown, or idle
    return {"without": plain}
  return {"without": plain, f"with {flag}": _probe("step", flags=flag)}


def _compilation() -> dict:
  with tempfile.TemporaryDirectory() as cache:
    cold = _probe("compilation", cache=cache)
    return {"cold": cold, "warm": _probe("compilation", cache=cache)}


def _against_torch(module: str) -> dict:
  """Another benchmark's own table and JSON."""
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
