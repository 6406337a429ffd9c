"""XE-Tversky, the paper's XETV: cross-entropy plus the Tversky loss, eq. (4).

  loss = cross_entropy_weight XE + tversky_weight TV(fp_weight, fn_weight)

XE is a mean over pixels and TV lies in [0, 1], so weights of one put both on
an equal footing: 0.69 and about 0.6 before training. AnatomyNet, whose hybrid
the paper adapts, sums its cross-entropy over voxels and weighs that by 0.1.
`fp_weight` is the paper's alpha (false positives), `fn_weight` its beta.

Shapes: `[b, h, w, c]` twice in, `[b]` out; the mean over the c structures.
Range: [0, inf). Empty mask: TV is flat there, XE still pulls every pixel down.

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
  """Weighted sum of cross-entropy and Tversky loss of each example.

  Args:
    logits: `[b, h, w, c]`, before the sigmoid.
    mask: `[b, h, w, c]` in [0, 1].
    cross_entropy_weight: Weight of the mean cross-entropy.
    tversky_weight: Weight of the Tversky loss.
    fp_weight: Price of a false positive (the paper's alpha), at least 0.
    fn_weight: Price of a false negative (the paper's beta), at least 0.
    smooth: Pixels, greater than 0; see `tversky_loss`.

  Returns:
    `[b]`, at least 0 for weights of at least 0.

  Raises:
    ConfigError: If a Tversky weight or `smooth` is out of range.
    AssertionError: If the shapes differ.
  """
  overlap = tversky.tversky_loss(
    logits, mask, fp_weight=fp_weight, fn_weight=fn_weight, smooth=smooth
  )
  entropy = cross_entropy.cross_entropy_loss(logits, mask)
  return cross_entropy_weight * entropy + tversky_weight * overlap
