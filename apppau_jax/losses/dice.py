"""Dice loss: the Tversky loss, eq. (4), with both of its weights 1/2.

  loss = 1 - (2 TP + 2 smooth) / (sum y + sum p + 2 smooth)

because 2 TP + FP + FN = sum y + sum p, so the paper's alpha = beta = 1/2 price
false positives and false negatives alike. p is linear below the line (not the
squares of V-Net), so what fits a soft mask best is a thresholding of it.

Shapes: `[b, h, w, c]` twice in, `[b]` out; the mean over the c structures.
Range: [0, 1]; 0 for a perfect prediction of a binary mask.
Empty mask: 0 when nothing is predicted, else practically 1; see `tversky`.

Reference: Dice 1945, Measures of the amount of ecologic association between
species, Ecology 26; as a loss, Milletari et al. 2016, V-Net, arXiv:1606.04797.
"""

import jax

from apppau_jax.losses import pixels, tversky


def dice_loss(
  logits: pixels.Array, mask: pixels.Array, *, smooth: float = 1e-6
) -> jax.Array:
  """One minus the soft Dice score of each example.

  Args:
    logits: `[b, h, w, c]`, before the sigmoid.
    mask: `[b, h, w, c]` in [0, 1].
    smooth: Pixels added to TP and to its denominator, greater than 0; the
      2 TP form of Dice carries it twice.

  Returns:
    `[b]` in [0, 1].

  Raises:
    ConfigError: If `smooth` is out of range.
    AssertionError: If the shapes differ.
  """
  return tversky.tversky_loss(
    logits, mask, fp_weight=0.5, fn_weight=0.5, smooth=smooth
  )
