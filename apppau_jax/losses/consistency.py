"""Learning from unlabelled images: agreement between two views of them.

The teacher looks at an image as it is (weak view), the student at the same
image with its intensities and parts disturbed (strong view); both share the
geometry, so their answers can be compared pixel by pixel. With p the
student's probability and q the teacher's, which gets no gradient,

  mean teacher:  mean over pixels of (p - q)^2
  pseudo-label:  mean over pixels of  c XE(p, q >= 1/2),
                 c = 1 where max(q, 1 - q) >= threshold, else 0

The teacher of the first is the exponential average of the student's weights
(Tarvainen and Valpola 2017, arXiv:1703.01780); FixMatch (Sohn et al. 2020,
arXiv:2001.07685) takes the student itself, for segmentation UniMatch (Yang et
al. 2023, arXiv:2208.09910). Either teacher goes with either loss here.

D learns the classes of unlabelled pairs in the first way, with the n class
probabilities of its own average for q.

The weight rises over the first steps as exp(-5 (1 - t / T)^2) (Laine and Aila
2017, arXiv:1610.02242).

Shapes: logits and probabilities `[b, h, w, k]` in, `[b]` out; >= 0.
"""

import chex
import jax
import jax.numpy as jnp
import optax

Array = chex.Array


def mean_teacher_loss(logits: Array, teacher_prob: Array) -> jax.Array:
  """Mean squared difference of probabilities.

  Args:
    logits: `[b, h, w, k]`, the student's on the strong view.
    teacher_prob: `[b, h, w, k]` in [0, 1]; taken as a constant.

  Returns:
    `[b]` in [0, 1].
  """
  chex.assert_rank((logits, teacher_prob), 4)
  chex.assert_equal_shape((logits, teacher_prob))
  target = jax.lax.stop_gradient(jnp.asarray(teacher_prob))
  return jnp.mean((jax.nn.sigmoid(logits) - target) ** 2, axis=(1, 2, 3))


def pseudo_label_loss(
  logits: Array, teacher_prob: Array, *, threshold: float = 0.95
) -> jax.Array:
  """Cross-entropy with the teacher's decision where the teacher is sure.

  Args:
    logits: `[b, h, w, k]`, the student's on the strong view.
    teacher_prob: `[b, h, w, k]` in [0, 1]; taken as a constant.
    threshold: in [0.5, 1]; pixels below it count as zero, and still divide:
      an unsure teacher teaches little.

  Returns:
    `[b]`, >= 0.
  """
  chex.assert_rank((logits, teacher_prob), 4)
  chex.assert_equal_shape((logits, teacher_prob))
  prob = jax.lax.stop_gradient(jnp.asarray(teacher_prob))
  sure = jnp.maximum(prob, 1.0 - prob) >= threshold
  decision = (prob >= 0.5).astype(prob.dtype)
  each = optax.sigmoid_binary_cross_entropy(jnp.asarray(logits), decision)
  return jnp.mean(each * sure, axis=(1, 2, 3))


def class_consistency_loss(logits: Array, teacher_logits: Array) -> jax.Array:
  """Squared difference of two opinions of D on the classes of a pair.

  Args:
    logits: `[b, n + 1]`, the student's; the last, "predicted", is left out.
    teacher_logits: `[b, n + 1]`, taken as constants.

  Returns:
    `[b]` in [0, 2]: the sum over the n classes.
  """
  chex.assert_rank((logits, teacher_logits), 2)
  chex.assert_equal_shape((logits, teacher_logits))
  teacher_logits = jax.lax.stop_gradient(jnp.asarray(teacher_logits))
  probs, target = (
    jax.nn.softmax(x[:, :-1]) for x in (jnp.asarray(logits), teacher_logits)
  )
  return jnp.sum((probs - target) ** 2, axis=-1)


def ramp_up(step: Array, *, steps: int) -> jax.Array:
  """exp(-5 (1 - t / T)^2) up to step T, then 1; always 1 for `steps` 0."""
  if not steps:
    return jnp.ones(())
  left = 1.0 - jnp.clip(jnp.asarray(step) / steps, 0.0, 1.0)
  return jnp.exp(-5.0 * left**2)
