"""Pseudo-labels: learn the decisions of which the teacher is confident.

References: FixMatch (Sohn et al. 2020, arXiv:2001.07685), for segmentation
UniMatch (Yang et al. 2023, arXiv:2208.09910). There the student is its own
teacher; here its averaged weights teach unless `teacher` is "student".
"""

import dataclasses
from typing import Any

import chex
import jax
import jax.numpy as jnp
import optax

from apppau_jax.semi.method import SelfTaught, Student


def pseudo_label_loss(
  logits: chex.Array, teacher_prob: chex.Array, *, threshold: float = 0.95
) -> jax.Array:
  """Compute the cross-entropy with the confident decisions of the teacher.

  With q the probability of the teacher, through which no gradient flows, it is
  the mean over pixels of c XE(p, q >= 1/2), where c = 1 if
  max(q, 1 - q) >= threshold, else 0. The other pixels count as zeros in the
  mean: an unsure teacher teaches little.

  Args:
    logits: `[b, h, w, k]`, of the student on the strong view.
    teacher_prob: `[b, h, w, k]` in [0, 1].
    threshold: in [0.5, 1].

  Returns:
    `[b]`, >= 0.

  Example:
    >>> import jax.numpy as jnp
    >>> target = jnp.array([1.0, 0.9]).reshape(1, 1, 2, 1)
    >>> loss = pseudo_label_loss(jnp.zeros((1, 1, 2, 1)), target)
    >>> round(float(loss[0]), 3)  # log(2) in one of two pixels
    0.347
  """
  chex.assert_rank((logits, teacher_prob), 4)
  chex.assert_equal_shape((logits, teacher_prob))
  prob = jax.lax.stop_gradient(jnp.asarray(teacher_prob))
  confident = jnp.maximum(prob, 1.0 - prob) >= threshold
  decision = (prob >= 0.5).astype(prob.dtype)
  each = optax.sigmoid_binary_cross_entropy(jnp.asarray(logits), decision)
  return jnp.mean(each * confident, axis=(1, 2, 3))


@dataclasses.dataclass(frozen=True, kw_only=True)
class PseudoLabel(SelfTaught):
  """Cross-entropy with the confident decisions of the teacher.

  Attributes:
    threshold: of the confidence, in [0.5, 1].
  """

  threshold: float = 0.95

  def loss(self, student: Student, views: Any) -> jax.Array:
    """Compute `pseudo_label_loss` of each strong view."""
    image, target = views
    return pseudo_label_loss(
      student(image).logits, target, threshold=self.threshold
    )
