"""Pages of all predictions: in the order of the files, or of their doubt.

The pictures are the overlays in the same folder: of thousands of films a page
that held them all could not be opened.
"""

import collections
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import jinja2

from apppau_jax import files
from apppau_jax.inference import prediction_images, prediction_table
from apppau_jax.inference.prediction_table import Row
from apppau_jax.inference.quality import LUNGS

NAME = "review.html"  # the most doubtful first
INDEX = "index.html"  # in the order of the files


def write(
  folder: Path,
  rows: Sequence[Row],
  *,
  structures: Sequence[str] = (),
  class_names: Sequence[str] = (),
  name: str = NAME,
) -> Path:
  """Writes `review.html` or `index.html` beside the predictions.

  On the former failed images come first, then those with a remark, then the
  others. Those of either group are ordered by the estimated Dice of their worst
  lung, or of their worst mask if no mask is a lung.

  Args:
    folder: of the predictions.
    rows: of their table.
    structures: names of the masks; empty for the lungs.
    class_names: in the order of the class probabilities.
    name: `NAME` or `INDEX`.

  Returns:
    The path of the page.
  """
  loader = jinja2.PackageLoader("apppau_jax", "inference")
  pages = jinja2.Environment(loader=loader, autoescape=True)
  names = [*structures] or [LUNGS[0]]
  by_doubt = name == NAME
  ordered = sorted(
    rows, key=lambda row: (by_doubt and _doubt(row, names), row.file)
  )
  shown = [
    _shown(row, names=names, structures=structures, class_names=class_names)
    for row in ordered
  ]
  counts = collections.Counter(row.status for row in rows)
  page = pages.get_template("review.html.jinja").render(
    rows=shown,
    by_doubt=by_doubt,
    counts=dict(sorted(counts.items())),
    table=prediction_table.NAME,
  )
  files.write_bytes(folder / name, page.encode())
  return folder / name


def _doubt(row: Row, names: Sequence[str]) -> tuple[bool, float]:
  """Orders rows; lower comes first."""
  if not row.quality:
    return False, -1.0
  estimates = dict(zip(names, row.quality))
  of_lungs = [estimates[name] for name in LUNGS if name in estimates]
  return not row.reason, min(of_lungs or row.quality)


def _shown(
  row: Row,
  *,
  names: Sequence[str],
  structures: Sequence[str],
  class_names: Sequence[str],
) -> dict[str, Any]:
  numbers = [
    (f"Estimated Dice, {name.replace('_', ' ')}", f"{value:.2f}")
    for name, value in zip(names, row.quality)
  ]
  numbers += [
    (f"Probability of {name}", f"{value:.2f}")
    for name, value in zip(class_names, row.probs)
  ]
  overlay = ""
  if row.masks:
    end = f"_{prediction_images.mask_kinds(structures)[0]}.png"
    overlay = quote(f"{row.masks[0].removesuffix(end)}_overlay.png")
  return {
    "file": prediction_table.printable(row.file),
    "status": row.status,
    "reason": row.reason,
    "overlay": overlay,
    "numbers": numbers,
  }
