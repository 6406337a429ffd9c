"""XE-Tversky, the paper's XETV: cross-entropy plus the Tversky loss, eq. (4).

  loss = cross_entropy_weight XE + tversky_weight TV(fp_weight, fn_weight)

XE is a mean over pixels and TV lies in [0, 1], so weights of one give both
about the same size: 0.69 and 0.6 before training. AnatomyNet, whose hybrid
loss the paper adapts, sums its cross-entropy over voxels and weighs it by 0.1.

Range: [0, inf). Empty mask: TV has no gradient there; XE still pushes every
pixel down.

Reference: Zhu et al. 2019, AnatomyNet, Medical Physics 46, arXiv:1808.05238.
"""

import jax

from apppau_jax.losses import cross_entropy, pixels, tversky


def cross_entropy_tversky_loss(
  logits: pixels.Array,
  mask: pixels.Array,
  *,
  cross_entropy_weight: float = 1.0,
  tversky_weight: float = 1.0,
  fp_weight: float = 0.3,
  fn_weight: float = 0.7,
  smooth: float = 1e-6,
) -> jax.Array:
  """Compute the weighted sum of cross-entropy and Tversky loss per example.

  The paper's XETV, after AnatomyNet, arXiv:1808.05238; the mean over the c
  structures.

  Args:
    logits: `[b, h, w, c]`, before the sigmoid.
    mask: `[b, h, w, c]` in [0, 1].
    cross_entropy_weight: Weight of the mean cross-entropy.
    tversky_weight: Weight of the Tversky loss.
    fp_weight: Price of a false positive (the paper's alpha), at least 0.
    fn_weight: Price of a false negative (the paper's beta), at least 0.
    smooth: Number of pixels, greater than 0; see `tversky_loss`.

  Returns:
    `[b]`, at least 0 for weights of at least 0.

  Raises:
    ValueError: A Tversky weight or `smooth` is out of range.
    AssertionError: The shapes differ.

  Example:
    >>> import numpy as np
    >>> from apppau_jax import losses
    >>> mask = np.zeros((1, 4, 4, 1), np.float32)
    >>> mask[:, :2] = 1
    >>> logits = np.zeros_like(mask)
    >>> value = losses.cross_entropy_tversky_loss(logits, mask)
    >>> round(float(value[0]), 3)  # ln 2 + 1/2
    1.193
  """
  overlap = tversky.tversky_loss(
    logits, mask, fp_weight=fp_weight, fn_weight=fn_weight, smooth=smooth
  )
  entropy = cross_entropy.cross_entropy_loss(logits, mask)
  return cross_entropy_weight * entropy + tversky_weight * overlap
