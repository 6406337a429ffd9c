"""What goes wrong through no fault of the code, each with its exit status.

A message is one paragraph for the person at the terminal: what happened,
where, why, and what to do about it. `launch.cli` prints it and exits with
`exit_code`; everything that is not a `UserError` is a defect of ours.
"""


class UserError(Exception):
  """Base of the errors a user can mend; exits with status 2 by default."""

  exit_code = 2


class ConfigError(UserError):
  """A flag or configuration value that cannot be used (status 2)."""


class OccupiedError(ConfigError):
  """A run's folder that another process works in (status 2)."""


class DataError(UserError):
  """Missing, damaged or inconsistent data (status 3)."""

  exit_code = 3


class CheckpointError(UserError):
  """A checkpoint that is absent, damaged or of another model (status 4)."""

  exit_code = 4


class NumericError(UserError):
  """A loss or gradient that is no longer finite (status 5)."""

  exit_code = 5


class ResourceError(UserError):
  """Not enough memory, disk or devices (status 6)."""

  exit_code = 6


class Interrupted(UserError):  # noqa: N818 - it is not an error
  """A signal asked the run to stop; it did, with its state saved."""

  def __init__(self, message: str, signum: int):
    super().__init__(message)
    self.exit_code = 128 + signum
