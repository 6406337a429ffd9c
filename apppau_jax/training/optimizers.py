"""Optimisers and learning-rate schedules, by optax."""

import jax
import optax
from jax import export

# What `make_optimizer`'s states are made of: programs kept on disk return them.
for _part in (
  optax.EmptyState,
  optax.MaskedState,
  optax.ScaleByAdamState,
  optax.ScaleByScheduleState,
):
  export.register_namedtuple_serialization(
    _part, serialized_name=f"optax.{_part.__name__}"
  )


def _cosine(rate: float, *, start: float, steps: int, warmup_steps: int):
  return optax.warmup_cosine_decay_schedule(
    start,
    rate,
    warmup_steps=warmup_steps,
    decay_steps=max(steps, warmup_steps + 1),
  )


def _constant(rate: float, *, start: float, steps: int, warmup_steps: int):
  del steps
  return optax.warmup_constant_schedule(start, rate, warmup_steps=warmup_steps)


SCHEDULES = {"cosine": _cosine, "constant": _constant}


def make_schedule(
  name: str, *, learning_rate: float, steps: int, warmup_steps: int = 0
) -> optax.Schedule:
  """Learning rate by step: `constant`, or `cosine` down to zero at `steps`.

  Either rises linearly from zero over the first `warmup_steps`.
  """
  if name not in SCHEDULES:
    raise ValueError(f"schedule must be constant or cosine, not {name!r}")
  start = 0.0 if warmup_steps else learning_rate
  return SCHEDULES[name](
    learning_rate, start=start, steps=steps, warmup_steps=warmup_steps
  )


def _decayed(params):
  """Weight decay reaches kernels only, never biases or BatchNorm."""
  return jax.tree.map(lambda p: p.ndim > 1, params)


def make_optimizer(
  *,
  schedule: optax.Schedule,
  b1: float = 0.9,
  b2: float = 0.999,
  weight_decay: float = 0.0,
  grad_clip: float = 0.0,
) -> optax.GradientTransformation:
  """Adam (`weight_decay` 0, the paper's) or AdamW, optionally clipped.

  Args:
    schedule: learning rate by step.
    b1: decay of the first moment, the paper's "momentum 0.9".
    b2: decay of the second moment.
    weight_decay: decoupled, a fraction of the learning rate, kernels only.
    grad_clip: largest global norm of the gradient; 0 leaves it alone.
  """
  clip = optax.clip_by_global_norm(grad_clip) if grad_clip else optax.identity()
  adam = optax.adamw(
    schedule, b1=b1, b2=b2, weight_decay=weight_decay, mask=_decayed
  )
  return optax.chain(clip, adam)
