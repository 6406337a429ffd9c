"""Dice loss: the Tversky loss, eq. (4), with both weights 1/2.

  loss = 1 - (2 TP + 2 smooth) / (sum y + sum p + 2 smooth)

because 2 TP + FP + FN = sum y + sum p: the paper's alpha = beta = 1/2 price
false positives and false negatives alike. The denominator is linear in p, not
squared as in V-Net, so the best fit to a soft mask is a thresholding of it.

Range: [0, 1]; 0 for a perfect prediction of a binary mask.
Empty mask: 0 if nothing is predicted, practically 1 otherwise; see `tversky`.

Reference: Dice 1945, Measures of the amount of ecologic association between
species, Ecology 26; as a loss, Milletari et al. 2016, V-Net, arXiv:1606.04797.
"""

import jax

from apppau_jax.losses import pixels, tversky


def dice_loss(
  logits: pixels.Array, mask: pixels.Array, *, smooth: float = 1e-6
) -> jax.Array:
  """Compute one minus the soft Dice score of each example.

  Milletari et al. 2016, arXiv:1606.04797, with a linear denominator; the mean
  over the c structures.

  Args:
    logits: `[b, h, w, c]`, before the sigmoid.
    mask: `[b, h, w, c]` in [0, 1].
    smooth: Number of pixels added to TP and to its denominator, greater than
      0; the form with 2 TP has it twice.

  Returns:
    `[b]` in [0, 1].

  Raises:
    ValueError: `smooth` is out of range.
    AssertionError: The shapes differ.

  Example:
    >>> import numpy as np
    >>> from apppau_jax import losses
    >>> mask = np.zeros((1, 4, 4, 1), np.float32)
    >>> mask[:, :1] = 1  # 4 of 16 pixels
    >>> logits = np.zeros_like(mask)  # probability 1/2 everywhere
    >>> round(float(losses.dice_loss(logits, mask)[0]), 3)  # 1 - 4 / 12
    0.667
  """
  return tversky.tversky_loss(
    logits, mask, fp_weight=0.5, fn_weight=0.5, smooth=smooth
  )
