"""A path for Orbax whose own characters are no pattern."""

import pathlib
from collections.abc import Iterator

from etils.epath.gpath import PosixGPath


class LiteralPath(PosixGPath):
  """A path that `glob` takes literally, and only its argument as a pattern.

  Orbax lists the parts of a step by `path.glob("ocdbt.process_*")`, and etils
  matches the whole path. In a folder such as `runs [1]` it then finds nothing,
  and the step is stored without its index.
  """

  def glob(self, pattern: str) -> Iterator["LiteralPath"]:
    """Yields the files below this folder that match."""
    return map(type(self), pathlib.Path(self).glob(pattern))
