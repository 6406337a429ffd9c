"""verify.html: the findings with thumbnails, in a page of its own.

No script and no remote resource; names of files and texts are escaped. It
shows images: keep it where they may lie.
"""

import base64
import io
import os
import pathlib
from collections.abc import Mapping, Sequence
from importlib import resources
from typing import Any

import jinja2
import numpy as np
from PIL import Image
from scipy import ndimage

from apppau_jax import files
from apppau_jax.checks.findings import CHECKS, Finding, counts
from apppau_jax.checks.radiograph import Film

OUTLINE = (86, 180, 233)  # sky blue, as the masks in reports
_SHOWN = 200  # findings with pictures
_PICTURES = 8  # of one finding


def write(
  path: str | os.PathLike[str],
  *,
  title: str,
  films: Sequence[Film],
  findings: Sequence[Finding],
  command: str,
) -> None:
  """Writes the page, whole or not at all; equal arguments, equal bytes.

  Args:
    path: where to.
    title: the set, its number of images, what was examined.
    films: those that could be read.
    findings: worst first.
    command: what made it.
  """
  by_id = {film.id: film for film in films}
  page = _template().render(
    title=title,
    command=command,
    images=len(films),
    levels=counts(findings),
    table=_table(findings),
    views=[_view(finding, by_id) for finding in findings[:_SHOWN]],
    more=max(0, len(findings) - _SHOWN),
    checks=CHECKS,
  )
  files.write_bytes(pathlib.Path(path), page.encode())


def picture(film: Film) -> str:
  """A film's sketch with the outline of its mask, as a data URI."""
  side = 2 * film.sketch.shape[0]
  grey = np.repeat(np.repeat(film.sketch, 2, axis=0), 2, axis=1)
  rgb = np.repeat(grey[..., None], 3, axis=2)
  if film.outline is not None:
    lungs = np.repeat(np.repeat(film.outline, 2, axis=0), 2, axis=1)
    rgb[lungs & ~ndimage.binary_erosion(lungs, border_value=1)] = OUTLINE
  buffer = io.BytesIO()
  colours = Image.fromarray(rgb).quantize(128, dither=Image.Dither.NONE)
  colours.resize((side, side)).save(buffer, "PNG", optimize=True)
  return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


def _table(findings: Sequence[Finding]) -> list[dict[str, Any]]:
  """One row a check that found something."""
  rows = []
  for name in CHECKS:
    own = [finding for finding in findings if finding.check == name]
    if own:
      rows.append({"check": name, **counts(own)})
  return rows


def _view(finding: Finding, by_id: Mapping[str, Film]) -> dict[str, Any]:
  films = [by_id[i] for i in finding.ids if i in by_id]
  if finding.check == "counts":  # nothing is wrong with these pictures
    films = []
  return {
    "finding": finding,
    "pictures": [(film.id, picture(film)) for film in films[:_PICTURES]],
  }


def _template() -> jinja2.Template:
  package = resources.files("apppau_jax.checks")
  environment = jinja2.Environment(
    autoescape=True,
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
  )
  text = package.joinpath("verify.html.jinja").read_text(encoding="utf-8")
  return environment.from_string(text)
