"""A warning when D recognises every pair."""

import logging
from collections.abc import Mapping

_LOG = logging.getLogger(__name__)
_SHARES = ("discriminator_real_accuracy", "discriminator_fake_accuracy")
SATURATED = 0.98  # both shares above it: D recognises every pair
PATIENCE = 10  # logged steps in a row


class Saturation:
  """Warns once when D recognises real and predicted masks without fail.

  S then learns little from D: every prediction is "fake", however good.
  """

  def __init__(self):
    self._run = 0

  def notice(self, step: int, values: Mapping[str, float]) -> None:
    """Read the metrics of one logged step; those without D are ignored."""
    sure = all(values.get(share, 0.0) > SATURATED for share in _SHARES)
    self._run = self._run + 1 if sure else 0
    if self._run == PATIENCE:
      _LOG.warning(
        "step %d: D has recognised all real and predicted masks for %d logged "
        "steps, so S learns little from it. Try a smaller "
        "discriminator.learning_rate or discriminator.mask_smoothing=0.05.",
        step,
        PATIENCE,
      )
