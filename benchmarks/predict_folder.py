"""Measure what a large folder costs launch.predict, without a network.

  python -m benchmarks.predict_folder --films=20000

First the table alone: rows of failed images, as `predict_files` writes them.
Then films of 32 x 32 pixels through `predict_files`, with a model that takes
bright pixels for lungs: masks, overlays, table, and the memory of the process.
"""

import pathlib
import resource
import tempfile
import time

import numpy as np
from absl import app, flags
from PIL import Image

from apppau_jax.inference import predict_files, prediction_table
from apppau_jax.inference.model import Model
from apppau_jax.models import SegmentorOutput
from benchmarks import round_robin

_FILMS = flags.DEFINE_integer("films", 20000, "Number of films.")
_ROWS = flags.DEFINE_list("rows", ["2000", "6000"], "Rows of tables.")


class _Bright:
  """Stands for a member of a model."""

  discriminator = None
  views = ()

  def segment(self, image, *, mesh=None) -> SegmentorOutput:
    logits = np.where(image > 127, 9.0, -9.0).astype(np.float32)
    return SegmentorOutput(logits=logits, side_logits=(), attention={})


def main(argv) -> None:
  """Measure; print two tables."""
  del argv
  lines = [(f"{n}", f"{_table_only(n):.3f}") for n in map(int, _ROWS.value)]
  round_robin.show(("rows", "ms a row, table alone"), lines)
  with tempfile.TemporaryDirectory() as folder:
    lines = _films(pathlib.Path(folder), count=_FILMS.value)
  round_robin.show(("films done", "ms a film since the last", "MiB"), lines)


def _table_only(count: int) -> float:
  columns = prediction_table.Columns()
  names = prediction_table.measurements.names(())
  rows = [
    prediction_table.Row(
      *(f"patient/study/{i}.dcm", "ok", ""),
      masks=(f"patient/study/{i}_mask.png",),
      fractions=(0.25,),
      measured=(1234.5,) * len(names),
    )
    for i in range(count)
  ]
  with tempfile.TemporaryDirectory() as folder:
    path = pathlib.Path(folder) / prediction_table.NAME
    began = time.perf_counter()
    with prediction_table.appending(path, (), columns=columns) as append:
      for row in rows:
        append(row)
    prediction_table.write(path, rows, columns=columns)
    return 1e3 * (time.perf_counter() - began) / count


def _films(root: pathlib.Path, *, count: int) -> list[tuple[str, str, str]]:
  films = root / "films"
  films.mkdir()
  pixels = np.arange(1024, dtype=np.uint16).reshape(32, 32) % 256
  Image.fromarray(pixels.astype(np.uint8)).save(films / "0.png")
  content = (films / "0.png").read_bytes()
  for i in range(1, count):
    (films / f"{i}.png").write_bytes(content)
  lines, last = [], [time.perf_counter()]

  def note(done: int, total: int) -> None:
    if done % max(1, total // 5) == 0:
      now = time.perf_counter()
      each = 1e3 * (now - last[0]) / max(1, total // 5)
      peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
      lines.append((f"{done}", f"{each:.1f}", f"{peak:.0f}"))
      last[0] = now

  images = predict_files.find_images(films, output=root / "out")
  predict_files.predict_files(
    images,
    model=Model([_Bright()], resolution=32),  # type: ignore[list-item]
    output=root / "out",
    identity={"step": 0},
    progress=note,
  )
  return lines


if __name__ == "__main__":
  app.run(main)
