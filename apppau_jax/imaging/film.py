"""An image as it was read."""

from typing import NamedTuple

import numpy as np

DOCUMENTED = "documentation"


class Spacing(NamedTuple):
  """Millimetres between the centres of neighbouring pixels.

  Attributes:
    rows: from one row to the next, vertically.
    columns: from one column to the next, horizontally.
    element: keyword of the DICOM element that states it: `PixelSpacing`, or
      `ImagerPixelSpacing`, which holds at the detector and not in the body;
      or `DOCUMENTED`, if the owner of a data set states it.
  """

  rows: float
  columns: float
  element: str


class Film(NamedTuple):
  """An image as it was read.

  Attributes:
    levels: uint8 or uint16 [h, w], dense parts bright.
    remarks: on the header of the file; one sentence each, without the file's
      name.
    spacing: of the pixels; None if the file does not state it.
  """

  levels: np.ndarray
  remarks: tuple[str, ...] = ()
  spacing: Spacing | None = None
