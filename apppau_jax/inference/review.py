"""A page of all predictions, the most doubtful first."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import jinja2

from apppau_jax import files
from apppau_jax.inference import prediction_images, prediction_table
from apppau_jax.inference.prediction_table import Row
from apppau_jax.inference.quality import LUNGS

NAME = "review.html"


def write(
  folder: Path,
  rows: Sequence[Row],
  *,
  structures: Sequence[str] = (),
  class_names: Sequence[str] = (),
) -> Path:
  """Writes `review.html` beside the predictions.

  Failed images come first, then those with a remark, then the others. Those
  of either group are ordered by the estimated Dice of their worst lung, or of
  their worst mask if no mask is a lung.

  Args:
    folder: of the predictions.
    rows: of their table.
    structures: names of the masks; empty for the lungs.
    class_names: in the order of the class probabilities.

  Returns:
    The path of the page.
  """
  loader = jinja2.PackageLoader("apppau_jax", "inference")
  pages = jinja2.Environment(loader=loader, autoescape=True)
  names = [*structures] or [LUNGS[0]]
  ordered = sorted(rows, key=lambda row: (_doubt(row, names), row.file))
  shown = [
    _shown(row, names=names, structures=structures, class_names=class_names)
    for row in ordered
  ]
  page = pages.get_template("review.html.jinja").render(rows=shown)
  files.write_bytes(folder / NAME, page.encode())
  return folder / NAME


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
