"""What else may be written for an image, beside its masks and overlay."""

from pathlib import Path
from typing import Protocol

from apppau_jax.inference.outputs import Prediction


class MoreFiles(Protocol):
  """Writes further files of an image, such as DICOM objects.

  `stem` is the path of its files without `_KIND.png`.
  """

  def remark(self, path: Path) -> str:
    """Returns why nothing can be written for an image; "" if it can."""
    ...

  def is_written(self, stem: Path) -> bool:
    """Returns whether all files of an image are there."""
    ...

  def write(self, path: Path, found: Prediction, *, stem: Path) -> str:
    """Writes them once masks and overlay are there; returns as `remark`."""
    ...


class Nothing:
  """Writes no more files."""

  def remark(self, path: Path) -> str:
    """Returns ""."""
    del path
    return ""

  def is_written(self, stem: Path) -> bool:
    """Returns True."""
    del stem
    return True

  def write(self, path: Path, found: Prediction, *, stem: Path) -> str:
    """Writes nothing."""
    del path, found, stem
    return ""
