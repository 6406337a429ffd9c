"""Measure what each of several processes reads, and how much of it is hidden.

  python -m benchmarks.sharded_input [--json=FILE]

Phantoms are prepared at 512 px. Then 1, 2 and 4 processes read the same batches
as `data.streaming` does: each decodes its own rows, Grain's threads read ahead.
The step is a pause of fixed length, as of a device that leaves the processor
idle. Reported are the bytes of the records that a process reads a step, the
seconds that reading takes by itself, and the seconds a step waits for it.
All processes share the cores of this machine.
"""

import dataclasses
import functools
import json
import pathlib
import subprocess
import sys
import tempfile
import time

import numpy as np
from absl import app, flags

from benchmarks import round_robin

_JSON = flags.DEFINE_string("json", None, "File to write the results to.")
_FILMS = flags.DEFINE_integer("films", 48, "Number of phantoms.")
_SIDE = flags.DEFINE_integer("side", 512, "Pixels per side.")
_STEPS = flags.DEFINE_integer("steps", 12, "Steps of each process.")
_PAUSE = flags.DEFINE_float("pause", 0.5, "Seconds of a step without reading.")
_FOLDER = flags.DEFINE_string("folder", None, "For the processes: the data.")
_SHARE = flags.DEFINE_list(
  "share", None, "For the processes: P and its number."
)

BATCH = 16


def main(argv) -> None:
  """Prepare the data; start the processes; print and write the results."""
  del argv
  if _FOLDER.value:
    count, number = map(int, _SHARE.value)
    print(json.dumps(measure(_FOLDER.value, count=count, number=number)))
    return
  from apppau_jax import phantoms
  from apppau_jax.datasets import prepare

  found = {}
  with tempfile.TemporaryDirectory() as folder:
    root = pathlib.Path(folder)
    phantoms.write_montgomery(
      root / "raw", count=_FILMS.value, size=_SIDE.value
    )
    prepare.prepare(
      "phantom",
      raw_dir=root / "raw/MontgomerySet",
      data_dir=root,
      resolution=_SIDE.value,
    )
    for count in (1, 2, 4):
      found[count] = _together(root, count)
      print(f"{count} processes: {json.dumps(found[count])}", flush=True)
  round_robin.write(_JSON.value, {"processes": found})


def _together(root: pathlib.Path, count: int) -> dict[str, float]:
  """Return the means over the processes."""
  command = [sys.executable, "-m", "benchmarks.sharded_input"]
  options = [f"--folder={root}", f"--side={_SIDE.value}"]
  options += [f"--steps={_STEPS.value}", f"--pause={_PAUSE.value}"]
  started = [
    subprocess.Popen(
      [*command, *options, f"--share={count},{number}"],
      stdout=subprocess.PIPE,
      text=True,
      cwd=round_robin.ROOT,
    )
    for number in range(count)
  ]
  outputs = [process.communicate()[0] for process in started]
  if any(process.returncode for process in started):
    raise RuntimeError(f"{count} processes: one of them failed")
  rows = [json.loads(output.splitlines()[-1]) for output in outputs]
  return {name: float(np.mean([r[name] for r in rows])) for name in rows[0]}


def measure(folder: str, *, count: int, number: int) -> dict[str, float]:
  """Read the rows of one of `count` processes, alone and beside the steps."""
  from apppau_jax.datasets import prefetch
  from apppau_jax.datasets.dataset import Dataset

  dataset = Dataset("phantom", data_dir=folder, resolution=_SIDE.value)
  source = dataset.open(dataset.ids, streaming=True)
  total, read = [0], source.read

  def counted(places):
    records = read(places)
    total[0] += sum(
      len(value)
      for record in records
      for value in record.values()
      if isinstance(value, bytes)
    )
    return records

  source = dataclasses.replace(source, read=counted)
  rng = np.random.default_rng(0)
  order = [
    rng.permutation(len(source.ids))[:BATCH] for _ in range(_STEPS.value)
  ]
  # As `parallel.own_rows` splits a batch over processes of one device each.
  own = [np.array_split(rows, count)[number] for rows in order]
  began, busy = time.perf_counter(), time.process_time()
  for rows in own:
    source.take(rows)
  alone = (time.perf_counter() - began) / len(own)
  busy = (time.process_time() - busy) / len(own)
  size = total[0] / len(own)
  waited = 0.0
  batches = prefetch.ahead(functools.partial(_take, source, own), stop=len(own))
  for step in range(len(own)):
    began = time.perf_counter()
    next(batches)
    if step:  # nothing is ready before the first
      waited += time.perf_counter() - began
    time.sleep(_PAUSE.value)
  batches.close()
  waited /= len(own) - 1
  return {
    "bytes_a_step": size,
    "reading_s": alone,
    "reading_processor_s": busy,
    "waited_s": waited,
    "hidden": 1.0 - waited / alone,
  }


def _take(source, own, step: int):
  return source.take(own[step])


if __name__ == "__main__":
  app.run(main)
