"""Tversky loss, eq. (4) of the APPAU-Net paper: an overlap with two prices.

With p = sigmoid(logits) and, over the pixels of one structure of one image,

  TP = sum y p      FP = sum (1 - y) p      FN = sum y (1 - p)

  loss = 1 - (TP + smooth) / (TP + fp_weight FP + fn_weight FN + smooth)

`fp_weight` is the paper's alpha and multiplies the FALSE POSITIVES; `fn_weight`
is its beta and multiplies the FALSE NEGATIVES. The paper wants missed lung to
cost more, hence 0.3 and 0.7 (Salehi et al.). Several public versions swap the
two letters, which is why no argument here is called alpha.

Shapes: `[b, h, w, c]` twice in, `[b]` out; the mean over the c structures.
Range: [0, 1]; 0 for a perfect prediction, 1 for no overlap at all.
Empty mask: TP = FN = 0, so the loss is fp_weight FP / (fp_weight FP + smooth):
0 when nothing is predicted, else practically 1, and flat: the overlap of
nothing teaches nothing, which a pixelwise term beside it mends.
Special cases: weights (1/2, 1/2) give Dice, (1, 1) Jaccard, (0, 1) 1 - recall
and (1, 0) 1 - precision, each of the soft prediction.

Reference: Salehi, Erdogmus, Gholipour 2017, Tversky loss function for image
segmentation using 3D fully convolutional deep networks, arXiv:1706.05721.
"""

import math

import jax
import jax.numpy as jnp

from apppau_jax import errors
from apppau_jax.losses import pixels


def tversky_loss(
  logits: pixels.Array,
  mask: pixels.Array,
  *,
  fp_weight: float = 0.3,
  fn_weight: float = 0.7,
  smooth: float = 1e-6,
) -> jax.Array:
  """One minus the Tversky index of each example, eq. (4).

  Args:
    logits: `[b, h, w, c]`, before the sigmoid.
    mask: `[b, h, w, c]` in [0, 1].
    fp_weight: Price of a false positive (the paper's alpha), at least 0.
    fn_weight: Price of a false negative (the paper's beta), at least 0.
    smooth: Pixels added above and below the line, greater than 0: decides the
      empty mask. Not per cent, not an epsilon of the logarithm.

  Returns:
    `[b]` in [0, 1].

  Raises:
    ConfigError: If a weight or `smooth` is out of range.
    AssertionError: If the shapes differ.
  """
  _check_options(fp_weight=fp_weight, fn_weight=fn_weight, smooth=smooth)
  logits, mask = pixels.as_floats(logits, mask)
  inside = jax.nn.sigmoid(logits)
  # Not 1 - inside, which is rounded to 0 from a logit of 17 on.
  outside = jax.nn.sigmoid(-logits)
  true_positive = jnp.sum(mask * inside, axis=(1, 2))
  price = fp_weight * jnp.sum((1 - mask) * inside, axis=(1, 2))
  price += fn_weight * jnp.sum(mask * outside, axis=(1, 2))
  # 1 - a / (a + b) written as b / (a + b): exact for nearly perfect masks.
  return jnp.mean(price / (true_positive + price + smooth), axis=-1)


def _check_options(**options: float) -> None:
  for name, value in options.items():
    if not 0 <= value < math.inf or (name == "smooth" and value == 0):
      lowest = "greater than 0" if name == "smooth" else "at least 0"
      raise errors.ConfigError(
        f"{name}={value!r} cannot be used in the Tversky loss: it must be a "
        f"finite number, {lowest}. Usual values are fp_weight=0.3 (false "
        "positives), fn_weight=0.7 (false negatives) and smooth=1e-6."
      )
