"""Optimisers and schedules, by optax."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import optax

SCHEDULES = ("cosine", "constant")


def make_schedule(
  name: str, *, learning_rate: float, steps: int, warmup_steps: int = 0
) -> optax.Schedule:
  """Return the learning rate by step.

  Args:
    name: `constant`, or `cosine` down to zero at `steps`.
    learning_rate: the highest.
    steps: of the run.
    warmup_steps: steps of a linear rise from zero.

  Raises:
    ValueError: a name that is not one of `SCHEDULES`.
  """
  if name not in SCHEDULES:
    raise ValueError(f"schedule is {name!r}, not one of {', '.join(SCHEDULES)}")
  start = 0.0 if warmup_steps else learning_rate
  if name == "constant":
    return optax.warmup_constant_schedule(
      start, learning_rate, warmup_steps=warmup_steps
    )
  return optax.warmup_cosine_decay_schedule(
    start,
    learning_rate,
    warmup_steps=warmup_steps,
    decay_steps=max(steps, warmup_steps + 1),
  )


def ramp_up(*, steps: int) -> Callable[[jax.Array], jax.Array]:
  """Return the weight of a term by step: exp(-5 (1 - t / T)^2), then 1.

  (Laine and Aila 2017, arXiv:1610.02242.)

  Args:
    steps: T, the length of the rise; with 0 the weight is always 1.
  """

  def ramp(step: jax.Array) -> jax.Array:
    if not steps:
      return jnp.ones(())
    left = 1.0 - jnp.clip(jnp.asarray(step) / steps, 0.0, 1.0)
    return jnp.exp(-5.0 * left**2)

  return ramp


def _decayed(params):
  """Select the kernels, the only parameters that weight decay reaches."""
  return jax.tree.map(lambda p: p.ndim > 1, params)


def make_optimizer(
  *,
  schedule: optax.Schedule,
  b1: float = 0.9,
  b2: float = 0.999,
  weight_decay: float = 0.0,
  grad_clip: float = 0.0,
) -> optax.GradientTransformation:
  """Return Adam (`weight_decay` 0, the paper's) or AdamW, optionally clipped.

  Args:
    schedule: learning rate by step.
    b1: decay of the first moment, the paper's "momentum 0.9".
    b2: decay of the second moment.
    weight_decay: decoupled, a fraction of the learning rate, kernels only.
    grad_clip: largest global norm of the gradient; 0 turns clipping off.
  """
  clip = optax.clip_by_global_norm(grad_clip) if grad_clip else optax.identity()
  adam = optax.adamw(
    schedule, b1=b1, b2=b2, weight_decay=weight_decay, mask=_decayed
  )
  return optax.chain(clip, adam)
