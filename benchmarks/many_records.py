"""Measure memory and time of a data set of many small images.

  python -m benchmarks.many_records --records=200000 [--json=FILE]

Images of 64 pixels a side, a gradient with noise of 4 levels, are written as a
user's folder with classes, patients and one mask under many names. Each stage
then runs in a process of its own, whose peak of resident memory is reported
with that of its imports: preparing at 128 pixels, opening (all checksums and
entries), splitting, and streaming all training images once in batches of 16.
"""

import json
import os
import pathlib
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent import futures

import numpy as np
from absl import app, flags, logging

from benchmarks import round_robin

_RECORDS = flags.DEFINE_integer("records", 200_000, "Number of images.")
_JSON = flags.DEFINE_string("json", None, "File to write the results to.")
_STAGE = flags.DEFINE_string("stage", None, "For the processes of the stages.")
_FOLDER = flags.DEFINE_string("folder", None, "Where to write; kept.")

STAGES = ("prepare", "open", "split", "stream")
NAME, SIDE, BATCH = "folder:many", 64, 16
_AT_ONCE = 1000  # images that a process writes


def write_raw(folder: pathlib.Path, count: int) -> None:
  """Write images of noise, links to one mask, and labels.csv."""
  from PIL import Image

  for name in ("images", "masks"):
    (folder / name).mkdir(parents=True)
  mask = np.zeros((SIDE, SIDE), np.uint8)
  mask[10:55, 8:28] = mask[10:55, 36:56] = 255
  Image.fromarray(mask).save(folder / "mask.png")
  starts = range(0, count, _AT_ONCE)
  with futures.ProcessPoolExecutor(os.cpu_count()) as pool:
    for start in starts:
      stop = min(count, start + _AT_ONCE)
      pool.submit(_write_images, folder, start, stop)
  (folder / "mask.png").unlink()
  with (folder / "labels.csv").open("w") as file:
    file.write("id,label,patient\n")
    for i in range(count):
      file.write(f"film{i:07d},{('normal', 'tb')[i % 2]},p{i // 2}\n")


def _write_images(folder: pathlib.Path, start: int, stop: int) -> None:
  from PIL import Image

  ramp = np.linspace(40, 200, SIDE, dtype=np.float32)
  for i in range(start, stop):
    noise = np.random.default_rng(i).integers(0, 4, (SIDE, SIDE))
    image = (np.add.outer(ramp / 2, ramp / 2) + noise).astype(np.uint8)
    Image.fromarray(image).save(folder / f"images/film{i:07d}.png")
    # A file may have 65,000 names on common file systems.
    target = folder / f"masks/film{i:07d}.png"
    if i % _AT_ONCE == 0:
      shutil.copy(folder / "mask.png", target)
    else:
      os.link(folder / f"masks/film{i - i % _AT_ONCE:07d}.png", target)


def run_stage(stage: str, folder: pathlib.Path) -> dict[str, float]:
  """Run one stage; return its seconds and its memory in bytes."""
  from apppau_jax.datasets import prepare
  from apppau_jax.datasets.dataset import Dataset

  logging.set_verbosity(logging.ERROR)  # hides the messages of TFDS
  imported, began, images = _peak(), time.perf_counter(), 0
  data = folder / "data"
  if stage == "prepare":
    record = prepare.prepare(NAME, raw_dir=folder / "raw", data_dir=data)
    images = record["counts"]["images"]
  else:
    dataset = Dataset(NAME, data_dir=data)
    images = len(dataset.entries)
    if stage != "open":
      began = time.perf_counter()
      parts = dataset.split("paper", label_fraction=0.1)
      images = len(parts.roles())
    if stage == "stream":
      ids = (*parts.train_labelled, *parts.train_unlabelled)
      source = dataset.open(ids, masks_of=ids, streaming=True)
      order = np.random.default_rng(0).permutation(len(ids))
      rows = np.array_split(order, max(1, len(ids) // BATCH))
      began = time.perf_counter()
      images = sum(len(batch.ids) for batch in source.batches(rows))
  seconds = time.perf_counter() - began
  return {
    "images": images,
    "seconds": seconds,
    "imported_bytes": imported,
    "peak_bytes": _peak(),
  }


def _peak() -> int:
  return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def main(argv) -> None:
  """Write the files, run all stages, print the table."""
  del argv
  if _STAGE.value:
    print(json.dumps(run_stage(_STAGE.value, pathlib.Path(_FOLDER.value))))
    return
  with tempfile.TemporaryDirectory() as temporary:
    folder = pathlib.Path(_FOLDER.value or temporary)
    if not (folder / "raw").exists():
      write_raw(folder / "raw", _RECORDS.value)
    found = {stage: _in_process(stage, folder) for stage in STAGES}
  lines = [
    (
      stage,
      f"{one['images']:,}",
      f"{one['seconds']:.1f}",
      f"{1e3 * one['seconds'] / one['images']:.3f}",
      f"{one['imported_bytes'] / 1e6:.0f}",
      f"{one['peak_bytes'] / 1e6:.0f}",
    )
    for stage, one in found.items()
  ]
  headings = ("stage", "images", "s", "ms per image", "MB imported", "MB peak")
  round_robin.show(headings, lines)
  round_robin.write(_JSON.value, {"records": _RECORDS.value, "stages": found})


def _in_process(stage: str, folder: pathlib.Path) -> dict[str, float]:
  command = [sys.executable, "-m", "benchmarks.many_records"]
  command += [f"--stage={stage}", f"--folder={folder}"]
  done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
  return json.loads(done.stdout.splitlines()[-1])


if __name__ == "__main__":
  app.run(main)
