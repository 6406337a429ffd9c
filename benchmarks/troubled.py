"""Count the films on which launch.predict remarks, fit and unfit ones.

  python -m benchmarks.troubled --data_dir=data --raw_dir=raw --json=found.json

The films of the test parts of Montgomery and Shenzhen are read from the
owners' folders, and their lungs, for cropping, from the prepared sets. Each
film is written as it is and as each of --kinds of `benchmarks.unfit`;
launch.predict runs over them in a process of its own, and the table that it
writes is counted.
"""

import collections
import csv
import json
import pathlib
import subprocess
import sys
import tempfile

import numpy as np
from absl import app, flags
from PIL import Image

from apppau_jax.datasets.dataset import Dataset
from apppau_jax.inference import prediction_table
from benchmarks import round_robin, unfit

_WORKDIR = flags.DEFINE_string("workdir", "box", "Run or model file.")
_DATA_DIR = flags.DEFINE_string("data_dir", "data", "Prepared data sets.")
_RAW_DIR = flags.DEFINE_string("raw_dir", "raw", "Folder of the owners' sets.")
_SPLIT = flags.DEFINE_string("data_split", "fold-0-of-3", "Split of the sets.")
_KINDS = flags.DEFINE_list(
  "kinds", ["upside down", "negative", "cropped"], "Kinds beside fit films."
)
_MOST = flags.DEFINE_integer("most", 50, "Films of a set for an unfit kind.")
_JSON = flags.DEFINE_string("json", None, "File to write the figures to.")
_FOLDERS = {
  "montgomery": "MontgomerySet/CXR_png",
  "shenzhen": "ChinaSet_AllFiles/CXR_png",
}


def main(argv) -> None:
  """Write films, predict them, and print the counts of each set and kind."""
  del argv
  with tempfile.TemporaryDirectory() as folder:
    root = pathlib.Path(folder)
    for name in _FOLDERS:
      _write(name, root / "films" / name)
    subprocess.run(
      [
        *(sys.executable, "-m", "launch.predict"),
        *(f"--workdir={_WORKDIR.value}", f"--input={root / 'films'}"),
        f"--output={root / 'out'}",
      ],
      cwd=round_robin.ROOT,
      check=True,
    )
    table = (root / "out" / prediction_table.NAME).read_text()
  found = _count([*csv.DictReader(table.splitlines())])
  lines = [
    (name, f"{one['remark']} of {one['n']}", json.dumps(one["reasons"]))
    for name, one in found.items()
  ]
  round_robin.show(("films", "with a remark", "reasons"), lines)
  round_robin.write(_JSON.value, found)


def _write(name: str, folder: pathlib.Path) -> None:
  """Writes the test part of a set, one folder for each kind."""
  data = Dataset(name, data_dir=_DATA_DIR.value)
  ids = data.split(_SPLIT.value).test
  masks = data.open(ids).take(np.arange(len(ids))).mask[..., 0] > 0
  rng = np.random.default_rng(0)
  for kind in ("fit", *_KINDS.value):
    (folder / kind).mkdir(parents=True)
    count = len(ids) if kind == "fit" else _MOST.value
    for one, mask in [*zip(ids, masks)][:count]:
      path = pathlib.Path(_RAW_DIR.value, _FOLDERS[name], f"{one}.png")
      film = np.asarray(Image.open(path).convert("L"))
      lungs = np.asarray(Image.fromarray(mask).resize(film.shape[::-1]))
      if kind != "fit":
        film = unfit.KINDS[kind](film, lungs, rng)
      target = folder / kind / f"{one}.png"
      Image.fromarray(np.ascontiguousarray(film)).save(target)


def _count(rows: list[dict[str, str]]) -> dict[str, dict]:
  """Returns numbers of films and remarks by set and kind, and the reasons."""
  groups = collections.defaultdict(list)
  for row in rows:
    groups[str(pathlib.PurePath(row["file"]).parent)].append(row)
  return {
    name: {
      "n": len(group),
      "remark": sum(row["status"] != "ok" for row in group),
      # Without numbers, so that equal remarks are counted together.
      "reasons": collections.Counter(
        " ".join(row["reason"].split()[:4])
        for row in group
        if row["status"] != "ok"
      ),
    }
    for name, group in groups.items()
  }


if __name__ == "__main__":
  app.run(main)
