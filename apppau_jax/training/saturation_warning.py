"""A word of warning when D has won the game."""

import logging
from collections.abc import Mapping

_LOG = logging.getLogger(__name__)
_SHARES = ("discriminator_real_accuracy", "discriminator_fake_accuracy")
SATURATED = 0.98  # both shares above: D tells real from predicted without fail
PATIENCE = 10  # logged steps in a row


class Saturation:
  """Warns once when D recognises real and predicted masks without fail.

  S then hears nothing useful: every prediction is "predicted", however good.
  """

  def __init__(self):
    self._run = 0

  def notice(self, step: int, values: Mapping[str, float]) -> None:
    """Looks at one logged step's metrics; without D there is nothing to see."""
    sure = all(values.get(share, 0.0) > SATURATED for share in _SHARES)
    self._run = self._run + 1 if sure else 0
    if self._run == PATIENCE:
      _LOG.warning(
        "step %d: D has told real from predicted masks without fail for %d "
        "logged steps, so its term teaches S little. A smaller "
        "discriminator.learning_rate or discriminator.mask_smoothing=0.05 "
        "makes it a fairer opponent.",
        step,
        PATIENCE,
      )
