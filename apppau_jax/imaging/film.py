"""An image as it was read."""

from typing import NamedTuple

import numpy as np


class Film(NamedTuple):
  """An image as it was read.

  Attributes:
    levels: uint8 or uint16 [h, w], dense parts bright.
    remarks: on the header of the file; one sentence each, without the file's
      name.
  """

  levels: np.ndarray
  remarks: tuple[str, ...] = ()
