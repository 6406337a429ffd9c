"""Tversky loss, eq. (4): an overlap with separate prices for both errors.

With p = sigmoid(logits) and, over the pixels of one structure of one image,

  TP = sum y p      FP = sum (1 - y) p      FN = sum y (1 - p)

  loss = 1 - (TP + smooth) / (TP + fp_weight FP + fn_weight FN + smooth)

`fp_weight` is the paper's alpha and multiplies the FALSE POSITIVES; `fn_weight`
is its beta and multiplies the FALSE NEGATIVES. The paper makes missed lung more
expensive than invented lung; the defaults 0.3 and 0.7 are those of Salehi et
al. Several public implementations swap the two letters, so no argument here is
called alpha or beta.

Range: [0, 1]; 0 for a perfect prediction, 1 for no overlap at all.
Empty mask: TP = FN = 0, so the loss is fp_weight FP / (fp_weight FP + smooth).
That is 0 if nothing is predicted and practically 1 otherwise, with a vanishing
gradient. A pixelwise term beside the Tversky loss provides the gradient.
Special cases: weights (1/2, 1/2) give Dice, (1, 1) Jaccard, (0, 1) 1 - recall
and (1, 0) 1 - precision, each of the soft prediction.

Reference: Salehi, Erdogmus, Gholipour 2017, Tversky loss function for image
segmentation using 3D fully convolutional deep networks, arXiv:1706.05721.
"""

import math

import jax
import jax.numpy as jnp

from apppau_jax.losses import pixels


def tversky_loss(
  logits: pixels.Array,
  mask: pixels.Array,
  *,
  fp_weight: float = 0.3,
  fn_weight: float = 0.7,
  smooth: float = 1e-6,
) -> jax.Array:
  """Compute one minus the Tversky index of each example.

  Eq. (4) of Imran and Terzopoulos 2019, arXiv:1908.03693, averaged over the c
  structures.

  Args:
    logits: `[b, h, w, c]`, before the sigmoid.
    mask: `[b, h, w, c]` in [0, 1].
    fp_weight: Price of a false positive (the paper's alpha), at least 0.
    fn_weight: Price of a false negative (the paper's beta), at least 0.
    smooth: Number of pixels added to numerator and denominator, greater than
      0. It decides the value for an empty mask.

  Returns:
    `[b]` in [0, 1].

  Raises:
    ValueError: A weight or `smooth` is out of range.
    AssertionError: The shapes differ.

  Example:
    >>> import numpy as np
    >>> from apppau_jax import losses
    >>> mask = np.zeros((1, 4, 4, 1), np.float32)
    >>> mask[:, :2] = 1  # 8 of 16 pixels
    >>> logits = np.zeros_like(mask)  # probability 1/2 everywhere
    >>> round(float(losses.tversky_loss(logits, mask)[0]), 3)
    0.5
    >>> round(float(losses.tversky_loss(logits, mask, fp_weight=0.0)[0]), 3)
    0.412
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
      raise ValueError(
        f"{name}={value!r} cannot be used in the Tversky loss: it must be a "
        f"finite number, {lowest}. Usual values are fp_weight=0.3 (false "
        "positives), fn_weight=0.7 (false negatives) and smooth=1e-6."
      )
