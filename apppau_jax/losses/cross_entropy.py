"""Binary cross-entropy, the paper's XE, as a mean over pixels.

  loss = mean over pixels of  -y log p - (1 - y) log(1 - p)

with p = sigmoid(logits). Both logarithms come from the logits (log-sigmoid), so
a pixel that is wrong by 50 costs 50 and keeps its whole gradient; p is never
formed, hence never clipped.

Shapes: `[b, h, w, c]` twice in, `[b]` out; the mean over the c structures.
Range: [0, inf); ln 2 = 0.693 at logits of zero; for a soft mask the minimum is
the entropy of the mask, reached at p = y.
Empty mask: the mean of softplus(logits); nothing special happens.

Reference: optax.losses.sigmoid_binary_cross_entropy, elementwise.
"""

import jax
import optax

from apppau_jax.losses import pixels


def cross_entropy_loss(logits: pixels.Array, mask: pixels.Array) -> jax.Array:
  """Mean binary cross-entropy of each example.

  Args:
    logits: `[b, h, w, c]`, before the sigmoid.
    mask: `[b, h, w, c]` in [0, 1].

  Returns:
    `[b]`, at least 0.

  Raises:
    AssertionError: If the shapes differ.
  """
  logits, mask = pixels.as_floats(logits, mask)
  return pixels.pixel_mean(optax.sigmoid_binary_cross_entropy(logits, mask))
