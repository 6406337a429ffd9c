"""The terms of D on labels of which an image may have any number.

Here D's logits l are k findings, each with a probability of its own, and then
"predicted mask":

  P(finding i | x, mask) = sigmoid(l_i)
  P(fake | x, mask)      = sigmoid(l_k)

This goes beyond the paper, whose classes exclude each other. Where eqs. (5),
(7) and (8) need two classes, real and fake, they take `pair_logits`.
"""

import chex
import jax
import jax.numpy as jnp
import optax

Array = chex.Array


def findings_loss(logits: Array, label: Array) -> jax.Array:
  """Compute the binary cross-entropy over the findings that are stated.

  Args:
    logits: `[b, k + 1]`.
    label: int `[b, k]`, 1 present, 0 absent, -1 not stated. The latter have no
      part in the mean.

  Returns:
    `[b]`, the mean over an image's stated findings, in nats; 0 without any.

  Example:
    >>> import jax.numpy as jnp
    >>> logits = jnp.array([[0.0, 50.0, 0.0]])
    >>> round(float(findings_loss(logits, jnp.array([[1, -1]]))[0]), 4)
    0.6931
  """
  logits, label = jnp.asarray(logits)[:, :-1], jnp.asarray(label)
  chex.assert_equal_shape((logits, label))
  stated = label >= 0
  each = optax.sigmoid_binary_cross_entropy(
    logits, jnp.maximum(label, 0).astype(logits.dtype)
  )
  count = jnp.maximum(stated.sum(axis=1), 1)
  return jnp.where(stated, each, 0.0).sum(axis=1) / count


def findings_consistency_loss(
  logits: Array, teacher_logits: Array
) -> jax.Array:
  """Compute the squared difference of two predictions of the findings.

  Args:
    logits: `[b, k + 1]`, of the student.
    teacher_logits: `[b, k + 1]`, taken as constants.

  Returns:
    `[b]` in [0, k]: the sum over the findings.
  """
  logits, teacher_logits = map(jnp.asarray, (logits, teacher_logits))
  chex.assert_equal_shape((logits, teacher_logits))
  target = jax.nn.sigmoid(jax.lax.stop_gradient(teacher_logits)[:, :-1])
  return jnp.sum((jax.nn.sigmoid(logits[:, :-1]) - target) ** 2, axis=-1)


def pair_logits(logits: Array) -> jax.Array:
  """Return the logits of real and fake, `[b, 2]`, of `[b, k + 1]`.

  Their softmax has P(fake) = sigmoid(l_k), whatever the findings are.
  """
  fake = jnp.asarray(logits)[:, -1:]
  return jnp.concatenate([jnp.zeros_like(fake), fake], axis=1)
