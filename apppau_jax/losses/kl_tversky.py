"""KL-Tversky, the paper's KLTV: eq. (3) with its two terms mended.

  loss = kl_weight KL + tversky_weight TV          (the paper's a and b)

TV is the Tversky loss, eq. (4): `fp_weight` is alpha and multiplies the false
positives, `fn_weight` is beta and multiplies the false negatives. KL is printed
as |(y - p) log(y / p)|, summed over the pixels of the lung channel. On a close
reading:

* The absolute value does nothing. Both factors share their sign, and the
  product is the integrand of KL(y || p) + KL(p || y): Jeffreys' divergence.
* log(y / p) is infinite on the background. The TARGET alone is smoothed, to
  y_e = clip(y, eps, 1 - eps); p = sigmoid(s) comes from the logits s through
  log-sigmoid and is never clipped, for a clipped p has no gradient left in the
  pixels that are confidently wrong.
* The lung channel alone (`channels="roi"`, the literal equation) leans against
  the lungs: an ambiguous pixel is called lung only from P(lung) = 0.810 on
  (0.907 at eps = 1e-7), and as a background pixel saturates its gradient
  vanishes. Both channels together (`channels="both"`, the default) give

    J = (y_e - p) (logit(y_e) - s)

  whose threshold is 0.5 for every eps and whose gradient never vanishes.
* The mean over pixels replaces the sum, which would outweigh TV ten thousand
  times at 128 x 128 and change with the resolution of a side output.

Shapes: `[b, h, w, c]` twice in, `[b]` out; the mean over the c structures.
Range: [0, inf); 0 exactly where p = y_e. At s = 0, eps = 1e-3: KL = 3.45, so
that kl_weight = 0.2 gives it the size of a cross-entropy, ln 2.
Empty mask: KL pulls every pixel down to eps; TV is flat, see `tversky`.

Reference: Imran and Terzopoulos 2019, arXiv:1908.03693, eqs. (3) and (4);
Jeffreys 1946, An invariant form for the prior probability, Proc. R. Soc. A 186.
"""

import jax
import jax.numpy as jnp

from apppau_jax import errors
from apppau_jax.losses import pixels, tversky


def kl_divergence_loss(
  logits: pixels.Array,
  mask: pixels.Array,
  *,
  channels: str = "both",
  eps: float = 1e-3,
) -> jax.Array:
  """Mean symmetric KL divergence between mask and prediction, per example.

  Args:
    logits: `[b, h, w, c]`, before the sigmoid.
    mask: `[b, h, w, c]` in [0, 1].
    channels: `both`, structure and background; or `roi`, the structure alone.
    eps: How far the target stays from 0 and 1; in [1e-30, 0.5).

  Returns:
    `[b]`, at least 0 up to rounding.

  Raises:
    ConfigError: If `channels` or `eps` is none of the above.
    AssertionError: If the shapes differ.
  """
  _check_options(channels=channels, eps=eps)
  logits, mask = pixels.as_floats(logits, mask)
  # Every pixel is looked at from the side on which its target is the smaller
  # one, (y, s) or (1 - y, -s): 1 - 1e-7 has no float32, 1e-7 has.
  inside = mask >= 0.5
  target = jnp.maximum(jnp.where(inside, 1 - mask, mask), eps)
  score = jnp.where(inside, -logits, logits)
  difference = target - jax.nn.sigmoid(score)
  if channels == "both":
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
  """Weighted sum of KL divergence and Tversky loss of each example.

  Args:
    logits: `[b, h, w, c]`, before the sigmoid.
    mask: `[b, h, w, c]` in [0, 1].
    kl_weight: Weight of the mean KL divergence (the paper's a).
    tversky_weight: Weight of the Tversky loss (the paper's b).
    fp_weight: Price of a false positive (the paper's alpha), at least 0.
    fn_weight: Price of a false negative (the paper's beta), at least 0.
    kl_channels: `both` or `roi`; see `kl_divergence_loss`.
    kl_eps: Smoothing of the target of the KL term, in [1e-30, 0.5).
    smooth: Pixels of the Tversky term, greater than 0.

  Returns:
    `[b]`, at least 0 for weights of at least 0.

  Raises:
    ConfigError: If `kl_channels`, `kl_eps`, `smooth` or a Tversky weight is out
      of range.
    AssertionError: If the shapes differ.
  """
  overlap = tversky.tversky_loss(
    logits, mask, fp_weight=fp_weight, fn_weight=fn_weight, smooth=smooth
  )
  divergence = kl_divergence_loss(
    logits, mask, channels=kl_channels, eps=kl_eps
  )
  return kl_weight * divergence + tversky_weight * overlap


def _check_options(*, channels: str, eps: float) -> None:
  if channels not in ("both", "roi"):
    raise errors.ConfigError(
      f"channels={channels!r} is not a form of the KL divergence: choose "
      "'both' (structure and background, unbiased) or 'roi' (the paper's "
      "equation to the letter, the structure alone)."
    )
  if not 1e-30 <= eps < 0.5:
    raise errors.ConfigError(
      f"eps={eps!r} cannot smooth the target of the KL divergence: it must lie "
      "in [1e-30, 0.5), because log(0) is infinite and 0.5 erases the mask. "
      "Usual values are 1e-3 for channels='both' and 1e-7 for 'roi'."
    )
