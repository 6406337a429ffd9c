"""Binary cross-entropy, the paper's XE, as a mean over pixels.

  loss = mean over pixels of  -y log p - (1 - y) log(1 - p)

with p = sigmoid(logits). Both logarithms are computed from the logits by
log-sigmoid, so a pixel that is wrong by 50 costs 50 and keeps its whole
gradient; p itself is never formed, hence never clipped.

Range: [0, inf); ln 2 = 0.693 at logits of zero. For a soft mask the minimum is
the entropy of the mask, reached at p = y.
Empty mask: the mean of softplus(logits), no special case.

Reference: optax.losses.sigmoid_binary_cross_entropy, elementwise.
"""

import jax
import optax

from apppau_jax.losses import pixels


def cross_entropy_loss(logits: pixels.Array, mask: pixels.Array) -> jax.Array:
  """Compute the mean binary cross-entropy of each example.

  The paper's XE; the mean over pixels and over the c structures.

  Args:
    logits: `[b, h, w, c]`, before the sigmoid.
    mask: `[b, h, w, c]` in [0, 1].

  Returns:
    `[b]`, at least 0.

  Raises:
    AssertionError: The shapes differ.

  Example:
    >>> import numpy as np
    >>> from apppau_jax import losses
    >>> mask = np.zeros((1, 4, 4, 1), np.float32)
    >>> logits = np.zeros_like(mask)
    >>> round(float(losses.cross_entropy_loss(logits, mask)[0]), 3)  # ln 2
    0.693
  """
  logits, mask = pixels.as_floats(logits, mask)
  return pixels.pixel_mean(optax.sigmoid_binary_cross_entropy(logits, mask))
