"""Which DICOM objects were asked for; needs no extra until they are written."""

import importlib.util
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from apppau_jax.deploy.identity import KINDS, Maker
from apppau_jax.errors import ConfigError
from apppau_jax.inference.more_files import MoreFiles
from apppau_jax.inference.prediction_table import Row

NOT_WRITTEN = "No DICOM objects were written"
_PACKAGES = ("pydicom", "highdicom", "dicomweb_client", "requests")


def kinds(text: str | None) -> tuple[str, ...]:
  """Returns the kinds of objects that --dicom lists; nothing of None.

  Raises:
    ConfigError: it names something else, or the extra is not installed.
  """
  if text is None:
    return ()
  named = {part.strip().lower() for part in text.split(",")}
  if not named <= {*KINDS}:
    raise ConfigError(
      f"--dicom={text} must list one or more of {', '.join(KINDS)}: "
      "segmentation, overlay (secondary capture) and measurements (structured "
      "report)."
    )
  missing = [p for p in _PACKAGES if importlib.util.find_spec(p) is None]
  if missing:
    raise ConfigError(
      f"DICOM objects cannot be written: {', '.join(missing)} is not "
      "installed. Install the extra: python -m pip install "
      "'apppau_jax[dicom]' (in a checkout: -e '.[dicom]')."
    )
  return tuple(kind for kind in KINDS if kind in named)


def summary(rows: Collection[Row]) -> str:
  """Returns for how many images of a call objects are there."""
  there = [
    row
    for row in rows
    if row.status != "failed" and NOT_WRITTEN not in row.reason
  ]
  text = f"DICOM objects: those of {len(there)} of {len(rows)} images"
  if len(there) < len(rows):
    text += "; the column reason says why the others have none"
  return text


def writer(
  kinds: Sequence[str], identity: Mapping[str, Any], *, package: str
) -> MoreFiles | None:
  """Returns what writes objects of these kinds; None of none.

  Args:
    kinds: as the function of this name returns them.
    identity: of the model, in JSON's types.
    package: version of this package.
  """
  if not kinds:
    return None
  from apppau_jax.deploy.writer import DicomWriter

  return DicomWriter(kinds, Maker.of(identity, package=package))
