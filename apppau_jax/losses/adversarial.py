"""The terms of both players on the logits of D: eqs. (5) to (10).

D gives n + 1 logits l for a pair (image, mask): the classes 0..n-1, then n for
"the mask was predicted". With LSE the log of the sum of exponentials,

  (9)  P(fake)   = exp(l_n) / sum over j = 0..n of exp(l_j)
  (10) P(class i) = exp(l_i) / the same sum
  (5)  S, non-saturating:  -log(1 - P(fake | x, S(x))) = LSE(l) - LSE(l_0..n-1)
       S, saturating (Algorithm 1's "log(1 - D)"):  log P(fake | x, S(x))
  (6)  D, class:           -log P(label | x, y)        = LSE(l) - l_label
       conditional on real (Salimans et al. 2016): LSE(l_0..n-1) - l_label
  (7)  D, real:            -log(1 - P(fake | x, y))
  (8)  D, fake:            -log P(fake | x, S(x))

Eq. (6) over all n + 1 logits already contains (7): -log P(label) is the
conditional term plus (7). Adding one number to all logits changes nothing, so
n + 1 logits and n logits with a fake logit fixed at 0 are the same model.

Shapes: `[b, n + 1]` in, `[b]` out; every term but the saturating one is >= 0.

References: Imran and Terzopoulos 2019, arXiv:1908.03693; Salimans et al. 2016,
arXiv:1606.03498.
"""

import chex
import jax
import jax.numpy as jnp

Array = chex.Array


def fake_log_prob(logits: Array) -> jax.Array:
  """Compute log P(fake), eq. (9): `[b, n + 1]` to `[b]`, <= 0.

  This and `real_log_prob` keep their precision where D is sure either way.

  Example:
    >>> import jax.numpy as jnp
    >>> round(float(fake_log_prob(jnp.zeros((1, 3)))[0]), 4)  # log(1 / 3)
    -1.0986
  """
  return jax.nn.log_sigmoid(-_real_log_odds(logits))


def real_log_prob(logits: Array) -> jax.Array:
  """Compute log(1 - P(fake)): `[b, n + 1]` to `[b]`, <= 0."""
  return jax.nn.log_sigmoid(_real_log_odds(logits))


def class_loss(
  logits: Array, label: Array, *, conditional: bool = True
) -> jax.Array:
  """Compute eq. (6), -log of the probability of the true class.

  Args:
    logits: `[b, n + 1]`.
    label: int `[b]` in 0..n-1; -1 (unlabelled) gives some finite number, which
      the caller leaves out.
    conditional: among the n classes given that the pair is real; else among
      all n + 1, as printed in the paper.

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
  """Compute eq. (5), -log(1 - P(fake)) of predicted pairs: `[b]`, >= 0."""
  return -real_log_prob(logits)


def saturating_loss(logits: Array) -> jax.Array:
  """Compute Algorithm 1's log(1 - D), D = 1 - P(fake): `[b]`, <= 0.

  Its minimum is that of eq. (5); its gradient vanishes where D is sure that a
  pair is fake.
  """
  return fake_log_prob(logits)


def class_consistency_loss(logits: Array, teacher_logits: Array) -> jax.Array:
  """Compute the squared difference of two class predictions for a pair.

  Beyond the paper: the mean teacher (Tarvainen and Valpola 2017,
  arXiv:1703.01780) of the n class probabilities given that the pair is real.

  Args:
    logits: `[b, n + 1]`, of the student.
    teacher_logits: `[b, n + 1]`, taken as constants.

  Returns:
    `[b]` in [0, 2]: the sum over the n classes.
  """
  logits, teacher = _checked(logits), _checked(teacher_logits)
  chex.assert_equal_shape((logits, teacher))
  target = jax.nn.softmax(jax.lax.stop_gradient(teacher)[:, :-1])
  return jnp.sum((jax.nn.softmax(logits[:, :-1]) - target) ** 2, axis=-1)


def smooth_mask(mask: Array, *, smoothing: float) -> jax.Array:
  """Move a real mask away from 0 and 1, by which D could recognise it.

  Args:
    mask: `[b, h, w, k]` in [0, 1].
    smoothing: s: 0 becomes s, 1 becomes 1 - s; 0 leaves the mask alone.
  """
  return jnp.asarray(mask) * (1.0 - 2.0 * smoothing) + smoothing


def _real_log_odds(logits: Array) -> jax.Array:
  """Compute log((1 - P(fake)) / P(fake)) of differences, free of offsets."""
  logits = _checked(logits)
  return jax.nn.logsumexp(logits[..., :-1] - logits[..., -1:], axis=-1)


def _checked(logits: Array) -> jax.Array:
  chex.assert_rank(logits, 2)
  if logits.shape[-1] < 2:
    raise ValueError(
      f"D's logits are [b, n + 1] with n >= 1 classes, not {logits.shape}"
    )
  return jnp.asarray(logits)
