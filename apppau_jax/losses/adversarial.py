"""The two players' terms on D's logits: eqs. (5) to (10).

D gives n + 1 logits l for a pair (image, mask): the classes 0..n-1, then n,
"the mask was predicted". With LSE the log of the sum of exponentials,

  (9)  P(fake)   = exp(l_n) / sum over j = 0..n of exp(l_j)
  (10) P(class i) = exp(l_i) / the same sum
  (5)  S, non-saturating:  -log(1 - P(fake | x, S(x))) = LSE(l) - LSE(l_0..n-1)
       S, saturating (Algorithm 1's "log(1 - D)"):  log P(fake | x, S(x))
  (6)  D, class:           -log P(label | x, y)        = LSE(l) - l_label
       conditional on real (Salimans et al. 2016): LSE(l_0..n-1) - l_label
  (7)  D, real:            -log(1 - P(fake | x, y))
  (8)  D, fake:            -log P(fake | x, S(x))

Eq. (6) over all n + 1 logits already holds (7): -log P(label) is the
conditional term plus (7). Adding one number to all logits changes nothing, so
n + 1 logits and n logits with a fake logit fixed at 0 are one family.

Shapes: `[b, n + 1]` in, `[b]` out; every term but the saturating one is >= 0.

References: Imran and Terzopoulos 2019, arXiv:1908.03693; Salimans et al. 2016,
arXiv:1606.03498 (feature matching: its eq. in section 3.1, here as the mean
absolute difference).
"""

import chex
import jax
import jax.numpy as jnp

Array = chex.Array


def fake_log_prob(logits: Array) -> jax.Array:
  """Returns log P(fake), eq. (9): `[b, n + 1]` to `[b]`, <= 0.

  This and `real_log_prob` lose no digits where D is sure of either answer.
  """
  return jax.nn.log_sigmoid(-_real_log_odds(logits))


def real_log_prob(logits: Array) -> jax.Array:
  """Returns log(1 - P(fake)), stable: `[b, n + 1]` to `[b]`, <= 0."""
  return jax.nn.log_sigmoid(_real_log_odds(logits))


def class_loss(
  logits: Array, label: Array, *, conditional: bool = True
) -> jax.Array:
  """Eq. (6): -log of the probability of the true class.

  Args:
    logits: `[b, n + 1]`.
    label: int `[b]` in 0..n-1; a -1 (unknown) gives some finite number, to be
      left out by the caller.
    conditional: among the n classes given that the pair is real; else among
      all n + 1, as printed.

  Returns:
    `[b]`, >= 0.
  """
  logits = _checked(logits)
  chex.assert_shape(label, logits.shape[:1])
  among = logits[..., :-1] if conditional else logits
  log_probs = jax.nn.log_softmax(among)
  picked = jnp.maximum(jnp.asarray(label), 0)[:, None]
  return -jnp.take_along_axis(log_probs, picked, axis=-1)[:, 0]


def nonsaturating_loss(logits: Array) -> jax.Array:
  """Eq. (5), S wants its pair to be taken for real: `[b]`, >= 0."""
  return -real_log_prob(logits)


def saturating_loss(logits: Array) -> jax.Array:
  """Algorithm 1's descent on log(1 - D), D = 1 - P(fake): `[b]`, <= 0.

  The same zero as eq. (5); its gradient vanishes where D is sure of a fake.
  """
  return fake_log_prob(logits)


def feature_matching_loss(
  fake_features: Array, real_features: Array
) -> jax.Array:
  """|mean real - mean fake| of D's features, averaged over the features.

  Args:
    fake_features: `[b, c]` of predicted pairs.
    real_features: `[r, c]` of real pairs, a target: no gradient.

  Returns:
    A scalar: it compares two minibatches, not examples. >= 0.
  """
  chex.assert_rank((fake_features, real_features), 2)
  chex.assert_equal_shape_suffix((fake_features, real_features), 1)
  real = jax.lax.stop_gradient(jnp.asarray(real_features))
  return jnp.abs(jnp.mean(fake_features, axis=0) - real.mean(axis=0)).mean()


def smooth_mask(mask: Array, *, smoothing: float) -> jax.Array:
  """A real mask that D cannot tell by its pure zeros and ones.

  Args:
    mask: `[b, h, w, k]` in [0, 1].
    smoothing: s: 0 becomes s, 1 becomes 1 - s; 0 leaves the mask alone.
  """
  return jnp.asarray(mask) * (1.0 - 2.0 * smoothing) + smoothing


def _real_log_odds(logits: Array) -> jax.Array:
  """log((1 - P(fake)) / P(fake)); of differences, for they carry no offset."""
  logits = _checked(logits)
  return jax.nn.logsumexp(logits[..., :-1] - logits[..., -1:], axis=-1)


def _checked(logits: Array) -> jax.Array:
  chex.assert_rank(logits, 2)
  if logits.shape[-1] < 2:
    raise ValueError(
      f"D's logits are [b, n + 1] with n >= 1 classes, not {logits.shape}"
    )
  return jnp.asarray(logits)
