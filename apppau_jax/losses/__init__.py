"""Losses: pure functions of logits, one value per example.

`LOSSES` holds the segmentation losses by the name that `config.loss.name` has.
Each maps `logits` and `mask`, both `[b, h, w, c]`, to `[b]`, and its
keyword-only parameters are the keys of `config.loss` that it uses, with the
same defaults.

To add a segmentation loss: write it in a file of its own (`dice.py` is the
shortest), with keyword-only parameters only behind `logits` and `mask`; import
it below and add a line to `LOSSES`; test it in tests/losses/every_loss_test.py.
Only a parameter that no other loss has needs a key in apppau_jax/config.py.
"""

from collections.abc import Callable

import jax

from apppau_jax.losses.adversarial import (
  class_consistency_loss,
  class_loss,
  fake_log_prob,
  nonsaturating_loss,
  real_log_prob,
  saturating_loss,
  smooth_mask,
)
from apppau_jax.losses.cross_entropy import cross_entropy_loss
from apppau_jax.losses.cross_entropy_tversky import cross_entropy_tversky_loss
from apppau_jax.losses.deep_supervision import deep_supervision_loss
from apppau_jax.losses.dice import dice_loss
from apppau_jax.losses.findings import (
  findings_consistency_loss,
  findings_loss,
)
from apppau_jax.losses.kl_tversky import kl_divergence_loss, kl_tversky_loss
from apppau_jax.losses.objectives import (
  adversarial_objective,
  consistency_objective,
  discriminator_objective,
  masked_mean,
  segmentation_objective,
)
from apppau_jax.losses.tversky import tversky_loss

LOSSES: dict[str, Callable[..., jax.Array]] = {
  "tversky": tversky_loss,
  "dice": dice_loss,
  "cross_entropy": cross_entropy_loss,
  "kl_tversky": kl_tversky_loss,
  "cross_entropy_tversky": cross_entropy_tversky_loss,
}

__all__ = [
  "LOSSES",
  "adversarial_objective",
  "class_consistency_loss",
  "class_loss",
  "consistency_objective",
  "cross_entropy_loss",
  "cross_entropy_tversky_loss",
  "deep_supervision_loss",
  "dice_loss",
  "discriminator_objective",
  "fake_log_prob",
  "findings_consistency_loss",
  "findings_loss",
  "kl_divergence_loss",
  "kl_tversky_loss",
  "masked_mean",
  "nonsaturating_loss",
  "real_log_prob",
  "saturating_loss",
  "segmentation_objective",
  "smooth_mask",
  "tversky_loss",
]
