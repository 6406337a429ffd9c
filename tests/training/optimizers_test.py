"""Schedules in closed form, updates against the papers' formulas."""

import math

import jax.numpy as jnp
import numpy as np
import optax
import pytest

from apppau_jax.training import optimizers


def test_cosine_in_closed_form():
  rate = optimizers.make_schedule(
    "cosine", learning_rate=0.2, steps=110, warmup_steps=10
  )
  assert float(rate(0)) == 0
  assert float(rate(5)) == pytest.approx(0.1)
  for t in (10, 35, 60, 109):
    expected = 0.1 * (1 + math.cos(math.pi * (t - 10) / 100))
    # abs: half a float32 step at the full rate
    assert float(rate(t)) == pytest.approx(expected, abs=1.5e-8)


def test_no_warmup_starts_at_the_full_rate():
  for name in ("cosine", "constant"):
    rate = optimizers.make_schedule(name, learning_rate=0.2, steps=10)
    assert float(rate(0)) == pytest.approx(0.2)
  assert float(rate(9)) == pytest.approx(0.2)


def test_unknown_schedule():
  with pytest.raises(ValueError, match="linear"):
    optimizers.make_schedule("linear", learning_rate=1, steps=1)


def _steps(optimizer, gradients, start):
  params, state = {"w": start, "b": start[0]}, None
  state = optimizer.init(params)
  for g in gradients:
    grads = {"w": g, "b": g[0]}
    updates, state = optimizer.update(grads, state, params)
    params = optax.apply_updates(params, updates)
  return params


def test_adam_is_kingma_and_ba():
  rng = np.random.default_rng(0)
  gradients = rng.normal(size=(5, 3, 2))
  start = rng.normal(size=(3, 2))
  optimizer = optimizers.make_optimizer(
    schedule=optax.constant_schedule(0.01), b1=0.8, b2=0.95
  )
  got = _steps(
    optimizer, jnp.asarray(gradients, jnp.float32), jnp.asarray(start)
  )
  w, m, v = start.copy(), 0.0, 0.0
  for t, g in enumerate(gradients, 1):
    m, v = 0.8 * m + 0.2 * g, 0.95 * v + 0.05 * g**2
    w -= 0.01 * m / (1 - 0.8**t) / (np.sqrt(v / (1 - 0.95**t)) + 1e-8)
  np.testing.assert_allclose(got["w"], w, rtol=1e-4)


def test_weight_decay_reaches_kernels_only():
  start = jnp.ones((2, 2))
  optimizer = optimizers.make_optimizer(
    schedule=optax.constant_schedule(0.1), weight_decay=0.5
  )
  got = _steps(optimizer, jnp.zeros((1, 2, 2)), start)
  np.testing.assert_allclose(got["w"], 0.95)  # 1 - 0.1 * 0.5
  np.testing.assert_array_equal(got["b"], start[0])


def test_clipping_scales_to_the_norm():
  """Two gradients of one direction give the same Adam step once clipped."""
  optimizer = optimizers.make_optimizer(
    schedule=optax.constant_schedule(0.1), grad_clip=1.0
  )
  params = {"w": jnp.zeros(2)}
  state = optimizer.init(params)
  grads = {"w": jnp.array([3.0, 4.0])}
  _, state = optimizer.update(grads, state, params)
  mu = optax.tree_utils.tree_get(state, "mu")["w"]
  np.testing.assert_allclose(mu, [0.06, 0.08], rtol=1e-6)  # 0.1 * g / 5


@pytest.mark.parametrize("step", [0, 10, 35, 40, 10**6])
def test_ramp_up_in_closed_form(step):
  expected = math.exp(-5 * max(0, 1 - step / 40) ** 2)
  found = optimizers.ramp_up(steps=40)(jnp.int32(step))
  assert float(found) == pytest.approx(expected, rel=1e-5)
  assert float(optimizers.ramp_up(steps=0)(jnp.int32(step))) == 1.0
