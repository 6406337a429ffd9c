"""KL-Tversky, the paper's KLTV: eq. (3) with both terms made computable.

  loss = kl_weight KL + tversky_weight TV          (the paper's a and b)

TV is the Tversky loss, eq. (4). The paper prints KL as |(y - p) log(y / p)|,
summed over the pixels of the lung channel. Four things follow from it:

* The absolute value has no effect. Both factors have the same sign, and their
  product is the integrand of KL(y || p) + KL(p || y), Jeffreys' divergence.
* log(y / p) is infinite on the background. Only the TARGET is smoothed, to
  y_e = clip(y, eps, 1 - eps). p = sigmoid(s) is computed from the logits s by
  log-sigmoid and is never clipped, because a clipped p has no gradient in
  pixels that are confidently wrong.
* The lung channel alone (`kl_channels="roi"`, the literal equation) is biased
  against the lungs: an ambiguous pixel is classified as lung only if P(lung) is
  at least 0.810 (0.907 at eps = 1e-7). The gradient of a saturated background
  pixel vanishes. Both channels together (`kl_channels="both"`, the default)
  give

    J = (y_e - p) (logit(y_e) - s)

  whose threshold is 0.5 for every eps and whose gradient never vanishes.
* The mean over pixels replaces the sum. The sum would outweigh TV ten thousand
  times at 128 x 128 pixels and change with the resolution of a side output.

Range: [0, inf); 0 exactly where p = y_e. At s = 0 and eps = 1e-3, KL is 3.45,
so kl_weight = 0.2 gives it the size of a cross-entropy, ln 2.
Empty mask: KL pushes every pixel down to eps; TV has no gradient.

Reference: Imran and Terzopoulos 2019, arXiv:1908.03693, eqs. (3) and (4);
Jeffreys 1946, An invariant form for the prior probability, Proc. R. Soc. A 186.
"""

import jax
import jax.numpy as jnp

from apppau_jax.losses import pixels, tversky


def kl_divergence_loss(
  logits: pixels.Array,
  mask: pixels.Array,
  *,
  kl_channels: str = "both",
  kl_eps: float = 1e-3,
) -> jax.Array:
  """Compute the mean symmetric KL divergence of mask and prediction.

  The first term of eq. (3) of arXiv:1908.03693 as the module's head reads it;
  the mean over pixels and over the c structures.

  Args:
    logits: `[b, h, w, c]`, before the sigmoid.
    mask: `[b, h, w, c]` in [0, 1].
    kl_channels: `both`, structure and background; or `roi`, the structure
      alone.
    kl_eps: Distance of the smoothed target from 0 and 1; in [1e-30, 0.5).

  Returns:
    `[b]`, at least 0 up to rounding.

  Raises:
    ValueError: `kl_channels` or `kl_eps` is out of range.
    AssertionError: The shapes differ.

  Example:
    >>> import numpy as np
    >>> from apppau_jax import losses
    >>> mask = np.zeros((1, 4, 4, 1), np.float32)
    >>> logits = np.zeros_like(mask)
    >>> round(float(losses.kl_divergence_loss(logits, mask)[0]), 2)
    3.45
  """
  _check_options(kl_channels=kl_channels, kl_eps=kl_eps)
  logits, mask = pixels.as_floats(logits, mask)
  # Every pixel is mirrored so that its target is the smaller of y and 1 - y:
  # (y, s) or (1 - y, -s). float32 represents 1e-7, but not 1 - 1e-7.
  inside = mask >= 0.5
  target = jnp.maximum(jnp.where(inside, 1 - mask, mask), kl_eps)
  score = jnp.where(inside, -logits, logits)
  difference = target - jax.nn.sigmoid(score)
  if kl_channels == "both":
    log_ratio = jnp.log(target) - jnp.log1p(-target) - score
    return pixels.pixel_mean(difference * log_ratio)
  log_target = jnp.where(inside, jnp.log1p(-target), jnp.log(target))
  log_ratio = log_target - jax.nn.log_sigmoid(logits)
  return pixels.pixel_mean(
    jnp.where(inside, -difference, difference) * log_ratio
  )


def kl_tversky_loss(
  logits: pixels.Array,
  mask: pixels.Array,
  *,
  kl_weight: float = 0.2,
  tversky_weight: float = 1.0,
  fp_weight: float = 0.3,
  fn_weight: float = 0.7,
  kl_channels: str = "both",
  kl_eps: float = 1e-3,
  smooth: float = 1e-6,
) -> jax.Array:
  """Compute the weighted sum of KL divergence and Tversky loss per example.

  The paper's KLTV, eq. (3) of arXiv:1908.03693; the mean over the c structures.

  Args:
    logits: `[b, h, w, c]`, before the sigmoid.
    mask: `[b, h, w, c]` in [0, 1].
    kl_weight: Weight of the mean KL divergence (the paper's a).
    tversky_weight: Weight of the Tversky loss (the paper's b).
    fp_weight: Price of a false positive (the paper's alpha), at least 0.
    fn_weight: Price of a false negative (the paper's beta), at least 0.
    kl_channels: `both` or `roi`; see `kl_divergence_loss`.
    kl_eps: Smoothing of the target of the KL term, in [1e-30, 0.5).
    smooth: Number of pixels in the Tversky term, greater than 0.

  Returns:
    `[b]`, at least 0 for weights of at least 0.

  Raises:
    ValueError: `kl_channels`, `kl_eps`, `smooth` or a Tversky weight is out of
      range.
    AssertionError: The shapes differ.

  Example:
    >>> import numpy as np
    >>> from apppau_jax import losses
    >>> mask = np.zeros((1, 4, 4, 1), np.float32)
    >>> mask[:, :2] = 1
    >>> logits = np.zeros_like(mask)
    >>> round(float(losses.kl_tversky_loss(logits, mask)[0]), 2)  # ln 2 + 1/2
    1.19
  """
  overlap = tversky.tversky_loss(
    logits, mask, fp_weight=fp_weight, fn_weight=fn_weight, smooth=smooth
  )
  divergence = kl_divergence_loss(
    logits, mask, kl_channels=kl_channels, kl_eps=kl_eps
  )
  return kl_weight * divergence + tversky_weight * overlap


def _check_options(*, kl_channels: str, kl_eps: float) -> None:
  if kl_channels not in ("both", "roi"):
    raise ValueError(
      f"kl_channels={kl_channels!r} is not a form of the KL divergence: choose "
      "'both' (structure and background, unbiased) or 'roi' (the paper's "
      "literal equation, the structure alone)."
    )
  if not 1e-30 <= kl_eps < 0.5:
    raise ValueError(
      f"kl_eps={kl_eps!r} cannot smooth the target of the KL divergence: it "
      "must lie in [1e-30, 0.5), because log(0) is infinite and 0.5 erases the "
      "mask. Usual values are 1e-3 for kl_channels='both' and 1e-7 for 'roi'."
    )
