"""Mean teacher that teaches only where it is certain.

The teacher predicts several noisy copies of the weak view. With u the entropy
of their mean probability, the student learns from the pixels with u < 0.75 log
2, the threshold that Yu et al. begin with; it stays there. They sample the
dropout of their network too; this one has none, so that the noise alone makes
the copies differ.

Reference: Yu et al. 2019, arXiv:1907.07034.
"""

import dataclasses
import math
from typing import Any

import chex
import jax
import jax.numpy as jnp

from apppau_jax.semi.method import Labelled, Predict, SelfTaught, Student

_COPIES = 4
_NOISE = 0.1  # standard deviation, of the grey range; cut at two of them
_CERTAIN = 0.75 * math.log(2)  # entropy in nats


def certain_pixels(probs: chex.Array) -> jax.Array:
  """Find where the mean of several predictions has little entropy.

  Args:
    probs: `[t, b, h, w, k]` in [0, 1], of t noisy copies.

  Returns:
    float32 `[b, h, w, k]`, 1 where the entropy is below 0.75 log 2, else 0.

  Example:
    >>> import jax.numpy as jnp
    >>> probs = jnp.array([[0.9, 0.9], [0.9, 0.1]]).reshape(2, 1, 1, 2, 1)
    >>> certain_pixels(probs).ravel().tolist()
    [1.0, 0.0]
  """
  mean = jnp.clip(jnp.mean(probs, axis=0), 1e-6, 1 - 1e-6)
  entropy = -mean * jnp.log(mean) - (1 - mean) * jnp.log1p(-mean)
  return (entropy < _CERTAIN).astype(jnp.float32)


def certain_mean_teacher_loss(
  logits: chex.Array, teacher_prob: chex.Array, certain: chex.Array
) -> jax.Array:
  """Compute the mean over certain pixels of (p - q)^2.

  Here p = sigmoid(logits) is the probability of the student and q that of the
  teacher, through which no gradient flows.

  Args:
    logits: `[b, h, w, k]`, of the student on the strong view.
    teacher_prob: `[b, h, w, k]` in [0, 1].
    certain: `[b, h, w, k]`, 1 at the pixels that count, else 0.

  Returns:
    `[b]` in [0, 1]; 0 for an image without certain pixels.

  Example:
    >>> import jax.numpy as jnp
    >>> logits, target = jnp.zeros((1, 1, 2, 1)), jnp.ones((1, 1, 2, 1))
    >>> certain = jnp.array([1.0, 0.0]).reshape(1, 1, 2, 1)
    >>> certain_mean_teacher_loss(logits, target, certain).tolist()
    [0.25]
  """
  chex.assert_rank((logits, teacher_prob, certain), 4)
  chex.assert_equal_shape((logits, teacher_prob, certain))
  target = jax.lax.stop_gradient(jnp.asarray(teacher_prob))
  weight = jax.lax.stop_gradient(jnp.asarray(certain))
  each = weight * (jax.nn.sigmoid(logits) - target) ** 2
  count = jnp.sum(weight, axis=(1, 2, 3))
  return jnp.sum(each, axis=(1, 2, 3)) / jnp.maximum(count, 1.0)


@dataclasses.dataclass(frozen=True, kw_only=True)
class UncertaintyMeanTeacher(SelfTaught):
  """Squared differences to the teacher, where the teacher is certain."""

  def views(
    self,
    key: jax.Array,
    image: jax.Array,
    *,
    labelled: Labelled,
    predict: Predict,
    student: str,
  ) -> Any:
    """Return the strong views, their targets, and where these are certain."""
    key, key_noise = jax.random.split(key)
    teacher = self.teacher_of(student)._asdict()
    noise = jax.random.truncated_normal(
      key_noise, -2.0, 2.0, (_COPIES, *image.shape)
    )
    copies = (image[None] + _NOISE * noise).reshape(-1, *image.shape[1:])
    probs = jax.nn.sigmoid(predict(copies, **teacher).logits)
    certain = certain_pixels(
      probs.reshape(_COPIES, len(image), *probs.shape[1:])
    )
    prob = jax.nn.sigmoid(predict(image, **teacher).logits)
    # Both follow the pasted boxes; every pixel of a mask is certain.
    masks = jnp.concatenate([labelled[1], jnp.ones_like(labelled[1])], axis=-1)
    strong, target = self.strong_view(
      key,
      image,
      jnp.concatenate([prob, certain], axis=-1),
      labelled=(labelled[0], masks),
    )
    return strong, *jnp.split(target, 2, axis=-1)

  def loss(self, student: Student, views: Any) -> jax.Array:
    """Compute `certain_mean_teacher_loss` of each strong view."""
    image, target, certain = views
    return certain_mean_teacher_loss(student(image).logits, target, certain)
