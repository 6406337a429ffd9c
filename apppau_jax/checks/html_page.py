"""Write verify.html: the findings with thumbnails, in one file.

It has no script and no remote resource, and all text is escaped. It shows
images; keep it where patients' images may be stored.
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
from apppau_jax.checks.radiograph import Radiograph

OUTLINE = (86, 180, 233)  # sky blue, as the masks in reports
_SHOWN = 200  # findings with thumbnails
_PICTURES = 8  # thumbnails of one finding


def write(
  path: str | os.PathLike[str],
  *,
  title: str,
  images: Sequence[Radiograph],
  findings: Sequence[Finding],
  command: str,
) -> None:
  """Writes the page atomically; equal arguments give equal bytes.

  Args:
    path: of the page.
    title: the set and what was validated.
    images: those that could be read.
    findings: worst first.
    command: the command that made it.
  """
  by_id = {image.id: image for image in images}
  page = _template().render(
    title=title,
    command=command,
    images=len(images),
    levels=counts(findings),
    table=_table(findings),
    views=[_view(finding, by_id) for finding in findings[:_SHOWN]],
    more=max(0, len(findings) - _SHOWN),
    checks=CHECKS,
  )
  files.write_bytes(pathlib.Path(path), page.encode())


def thumbnail(image: Radiograph) -> str:
  """Returns a small copy with the outline of the mask, as a data URI."""
  side = 2 * image.sketch.shape[0]
  grey = np.repeat(np.repeat(image.sketch, 2, axis=0), 2, axis=1)
  rgb = np.repeat(grey[..., None], 3, axis=2)
  if image.outline is not None:
    lungs = np.repeat(np.repeat(image.outline, 2, axis=0), 2, axis=1)
    rgb[lungs & ~ndimage.binary_erosion(lungs, border_value=1)] = OUTLINE
  buffer = io.BytesIO()
  colours = Image.fromarray(rgb).quantize(128, dither=Image.Dither.NONE)
  colours.resize((side, side)).save(buffer, "PNG", optimize=True)
  return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


def _table(findings: Sequence[Finding]) -> list[dict[str, Any]]:
  """Returns one row for each check with findings."""
  rows = []
  for name in CHECKS:
    own = [finding for finding in findings if finding.check == name]
    if own:
      rows.append({"check": name, **counts(own)})
  return rows


def _view(finding: Finding, by_id: Mapping[str, Radiograph]) -> dict[str, Any]:
  images = [by_id[i] for i in finding.ids if i in by_id]
  if finding.check == "counts":  # nothing is wrong with these images
    images = []
  return {
    "finding": finding,
    "pictures": [(image.id, thumbnail(image)) for image in images[:_PICTURES]],
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
