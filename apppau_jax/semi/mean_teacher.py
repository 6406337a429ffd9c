"""Mean teacher: agree with the predictions of one's own averaged weights.

Reference: Tarvainen and Valpola 2017, arXiv:1703.01780.
"""

from typing import Any

import chex
import jax
import jax.numpy as jnp

from apppau_jax.semi.method import SelfTaught, Student


def mean_teacher_loss(
  logits: chex.Array, teacher_prob: chex.Array
) -> jax.Array:
  """Compute the mean over pixels of (p - q)^2.

  Here p = sigmoid(logits) is the probability of the student and q that of the
  teacher, through which no gradient flows.

  Args:
    logits: `[b, h, w, k]`, of the student on the strong view.
    teacher_prob: `[b, h, w, k]` in [0, 1].

  Returns:
    `[b]` in [0, 1].

  Example:
    >>> import jax.numpy as jnp
    >>> logits, target = jnp.zeros((1, 2, 2, 1)), jnp.ones((1, 2, 2, 1))
    >>> mean_teacher_loss(logits, target).tolist()
    [0.25]
  """
  chex.assert_rank((logits, teacher_prob), 4)
  chex.assert_equal_shape((logits, teacher_prob))
  target = jax.lax.stop_gradient(jnp.asarray(teacher_prob))
  return jnp.mean((jax.nn.sigmoid(logits) - target) ** 2, axis=(1, 2, 3))


class MeanTeacher(SelfTaught):
  """Squared differences to the probabilities of the teacher."""

  def loss(self, student: Student, views: Any) -> jax.Array:
    """Compute `mean_teacher_loss` of each strong view."""
    image, target = views
    return mean_teacher_loss(student(image).logits, target)
