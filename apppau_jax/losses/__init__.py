"""Losses: pure functions of logits, one value an example.

`LOSSES` holds the segmentation losses by name; the keyword-only parameters of
each are the keys of `config.loss` that it uses.
"""

from apppau_jax.losses.cross_entropy import cross_entropy_loss
from apppau_jax.losses.cross_entropy_tversky import cross_entropy_tversky_loss
from apppau_jax.losses.deep_supervision import deep_supervision_loss
from apppau_jax.losses.dice import dice_loss
from apppau_jax.losses.kl_tversky import kl_divergence_loss, kl_tversky_loss
from apppau_jax.losses.tversky import tversky_loss

LOSSES = {
  "tversky": tversky_loss,
  "dice": dice_loss,
  "cross_entropy": cross_entropy_loss,
  "kl_tversky": kl_tversky_loss,
  "cross_entropy_tversky": cross_entropy_tversky_loss,
}

__all__ = [
  "LOSSES",
  "cross_entropy_loss",
  "cross_entropy_tversky_loss",
  "deep_supervision_loss",
  "dice_loss",
  "kl_divergence_loss",
  "kl_tversky_loss",
  "tversky_loss",
]
