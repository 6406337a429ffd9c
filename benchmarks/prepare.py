"""Compare preparation with only decoding the same files by Pillow.

  python -m benchmarks.prepare --json=prepare.json

Raw phantoms are drawn. Alternately, they are prepared (reading, checks, area
resampling, PNG encoding, shards, checksums) and their images are only decoded,
both on all cores. --raw_dir and --dataset use an owner's files instead; --size
sets the size of the phantoms, 4892 for that of Montgomery's images.
"""

import io
import os
import pathlib
import tempfile
import time
import zipfile
from concurrent import futures

from absl import app, flags, logging
from PIL import Image

from apppau_jax.datasets import prepare as prepare_lib
from apppau_jax.phantoms import draw_set
from benchmarks import round_robin

_QUICK = flags.DEFINE_bool("quick", False, "Few images and few rounds.")
_JSON = flags.DEFINE_string("json", None, "File to write the results to.")
_DATASET = flags.DEFINE_string("dataset", "phantom", "Data set.")
_RAW_DIR = flags.DEFINE_string(
  "raw_dir", None, "Folder or zip of an owner's files."
)
_SIZE = flags.DEFINE_integer("size", 512, "Pixels per side of the phantoms.")
_COUNT = flags.DEFINE_integer(
  "count", 48, "Number of phantoms; 8 with --quick."
)
_ROUNDS = flags.DEFINE_integer("rounds", 10, "Rounds; 3 with --quick.")


def main(argv) -> None:
  """Measure; print the table."""
  del argv
  logging.set_verbosity(logging.ERROR)  # hides the messages of TFDS
  rounds = 3 if _QUICK.value else _ROUNDS.value
  ours, decoding, pictures = [], [], 0
  with tempfile.TemporaryDirectory() as folder:
    root = pathlib.Path(folder)
    raw = pathlib.Path(_RAW_DIR.value or root)
    if not _RAW_DIR.value:
      raw = draw_set.draw(
        root,
        count=8 if _QUICK.value else _COUNT.value,
        size=_SIZE.value,
        workers=os.cpu_count() or 1,
      )
    for turn in range(-1, rounds):  # turn -1 is not counted
      began = time.perf_counter()
      prepare_lib.prepare(
        _DATASET.value,
        raw_dir=raw,
        data_dir=root / f"prepared{turn}",
        allow_missing=True,
      )
      middle = time.perf_counter()
      pictures = _decode(raw)
      if turn >= 0:
        ours.append(middle - began)
        decoding.append(time.perf_counter() - middle)
  values = {
    "prepared": round_robin.summary(ours),
    "decoded by Pillow": round_robin.summary(decoding),
    "ratio": round_robin.summary([a / b for a, b in zip(ours, decoding)]),
  }
  lines = []
  for name in ("prepared", "decoded by Pillow"):
    each = f"{values[name]['median'] * 1e3 / pictures:.2f}"
    lines.append((name, round_robin.milliseconds(values[name]), each))
  round_robin.show(("what", "ms (quartiles)", "ms per image"), lines)
  print(f"{pictures} images; ratio {values['ratio']['median']:.2f}")
  round_robin.write(_JSON.value, {"pictures": pictures, "seconds": values})


def _decode(raw: pathlib.Path) -> int:
  """Decode every PNG of a folder or zip on all cores; return their number."""
  with futures.ThreadPoolExecutor(os.cpu_count()) as pool:
    if raw.is_file():
      with zipfile.ZipFile(raw) as archive:
        names = [n for n in archive.namelist() if n.lower().endswith(".png")]
        done = pool.map(lambda n: _load(io.BytesIO(archive.read(n))), names)
        return len([*done])
    paths = [p for p in raw.rglob("*") if p.suffix.lower() == ".png"]
    return len([*pool.map(_load, paths)])


def _load(file) -> None:
  with Image.open(file) as image:
    image.load()


if __name__ == "__main__":
  app.run(main)
