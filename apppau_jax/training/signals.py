"""Signals that end a run after the current call, with everything saved."""

import os
import signal
from typing import Any

from apppau_jax.training import distributed


class StopRequest:
  """Notes SIGTERM and SIGINT; a second one of either kind acts as usual.

  With several processes the coordination service of JAX passes on the SIGTERM
  of any of them to all. It does not handle the keyboard's SIGINT, which is
  turned into SIGTERM.
  """

  def __init__(self):
    self._signum: int | None = None
    self._old: dict[int, Any] = {}
    self._several = distributed.count() > 1

  def __enter__(self) -> "StopRequest":
    if self._several:
      self._old[signal.SIGINT] = signal.signal(signal.SIGINT, _pass_on)
      return self
    for signum in (signal.SIGTERM, signal.SIGINT):
      self._old[signum] = signal.signal(signum, self._note)
    return self

  def __exit__(self, *exc) -> None:
    for signum, handler in self._old.items():
      signal.signal(signum, handler)
    if self._several:  # nobody asks JAX any more
      signal.signal(signal.SIGTERM, signal.SIG_DFL)

  def after(self, steps: range) -> int | None:
    """Return the signal that ends the run after these steps, if any.

    Every process asks after every call, because JAX names one step, of those
    that it is asked about.
    """
    if self._several:
      asked = [distributed.preempted(step + 1) for step in steps]
      self._signum = signal.SIGTERM if any(asked) else None
    return self._signum

  @property
  def noted(self) -> int | None:
    """The signal received so far, if any, without asking other processes."""
    return self._signum

  def _note(self, signum, frame) -> None:
    self._signum = signum
    for other, handler in self._old.items():  # a second one of either kind
      signal.signal(other, handler)


def _pass_on(signum, frame) -> None:
  os.kill(os.getpid(), signal.SIGTERM)
