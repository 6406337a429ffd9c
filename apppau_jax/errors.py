"""Errors that a user can correct, each with the exit status of the commands.

A message is one paragraph that states what happened, where, why, and what to
do. `launch.cli` prints it and exits with `exit_code`. Any other exception is a
bug and keeps its traceback. Messages quote file names and labels, so characters
that a terminal acts on become escapes.
"""

from apppau_jax import escapes


class UserError(Exception):
  """Base class of the errors that a user can correct (status 2).

  Args:
    message: the paragraph for the user.
  """

  exit_code = 2

  def __init__(self, message: str = ""):
    super().__init__(escapes.printable(message))


class ConfigError(UserError):
  """A flag or a configuration value is not usable (status 2)."""


class OccupiedError(ConfigError):
  """Another process is using the run folder (status 2)."""


class DataError(UserError):
  """Data are missing, damaged or inconsistent (status 3)."""

  exit_code = 3

  def __init__(self, message: str = ""):
    super().__init__(escapes.one_line(message))


class CheckpointError(UserError):
  """A checkpoint is missing, damaged or of another model (status 4)."""

  exit_code = 4


class NumericError(UserError):
  """A loss or a gradient is not finite (status 5)."""

  exit_code = 5


class ResourceError(UserError):
  """Memory, disk space or devices are not sufficient (status 6)."""

  exit_code = 6


class DownloadError(UserError):
  """A package could not be fetched from its registry (status 7)."""

  exit_code = 7


class Interrupted(UserError):  # noqa: N818 - the run did not fail
  """A signal stopped the run after its state was saved (status 128 + signal).

  Args:
    message: the paragraph for the user.
    signum: number of the signal.
  """

  def __init__(self, message: str, signum: int):
    super().__init__(message)
    self.exit_code = 128 + signum
