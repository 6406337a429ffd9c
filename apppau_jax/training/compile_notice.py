"""One line when XLA compiles for long, which otherwise looks like a hang.

JAX reports each lowered program and each compiled or cached one. What lies
between them for longer than `PATIENCE` seconds is a compilation.
"""

import threading

import jax

from apppau_jax import progress

PATIENCE = 5.0  # seconds; reading a program from the cache takes less
_BEFORE = "/jax/core/compile/jaxpr_to_mlir_module_duration"
_AFTER = "/jax/core/compile/backend_compile_duration"


class _Notice:
  """Waits between the two events, and speaks once."""

  def __init__(self) -> None:
    self.minutes = 1
    self._timer: threading.Timer | None = None
    self._is_said = False

  def listen(self, event: str, duration_secs: float, **_: object) -> None:
    """Start waiting before a compilation; stop after it."""
    del duration_secs
    if event in (_BEFORE, _AFTER) and self._timer is not None:
      self._timer.cancel()
      self._timer = None
    if event == _BEFORE and not self._is_said and progress.is_shown():
      self._timer = threading.Timer(PATIENCE, self._say)
      self._timer.daemon = True
      self._timer.start()

  def _say(self) -> None:
    self._is_said = True
    unit = "minute" if self.minutes == 1 else "minutes"
    progress.LOG.info(
      "compiling, about %d %s the first time on two cores; later starts read "
      "the result from a cache",
      self.minutes,
      unit,
    )


_NOTICE: list[_Notice] = []  # JAX keeps its listeners until the process ends


def announce(*, minutes: int) -> None:
  """From here on, say once in this process that XLA compiles, when it does.

  Args:
    minutes: about how long it takes on two cores.
  """
  if not _NOTICE:
    _NOTICE.append(_Notice())
    jax.monitoring.register_event_duration_secs_listener(_NOTICE[0].listen)
  _NOTICE[0].minutes = minutes
