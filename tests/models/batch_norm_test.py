"""The layer and its gradient are those of Flax, differentiated by JAX."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from apppau_jax.models import batch_norm, blocks

CHANNELS = 5


@pytest.fixture(scope="module")
def x():
  rng = np.random.default_rng(0)
  return jnp.asarray(rng.normal(2.0, 3.0, (3, 4, 6, CHANNELS)), jnp.float32)


def _ours(*, train, dtype):
  """Arguments of `apply` and `init`, with variables in the form of Flax's."""
  module = blocks.Norm(dtype=dtype)
  return (
    lambda variables, *x, **more: module.apply(
      {kind: {"bn": tree} for kind, tree in variables.items()},
      *x,
      train=train,
      **more,
    ),
    lambda *args: module.init(*args, train=train),
  )


def _flax(*, train, dtype):
  module = nn.BatchNorm(
    use_running_average=not train, momentum=0.9, dtype=dtype
  )
  return module.apply, module.init


def _trained(layer, x, dtype):
  """Output, new statistics and gradients of parameters and input."""
  apply, _ = layer(train=True, dtype=dtype)
  statistics = {
    "mean": jnp.linspace(-1.0, 1.0, CHANNELS),
    "var": jnp.linspace(0.5, 2.0, CHANNELS),
  }
  params = {
    "scale": jnp.linspace(0.5, 2.0, CHANNELS),
    "bias": jnp.linspace(-1.0, 1.0, CHANNELS),
  }
  weight = jax.random.normal(jax.random.key(1), x.shape)

  def loss(params, x):
    y, updated = apply(
      {"params": params, "batch_stats": statistics},
      x,
      mutable=["batch_stats"],
    )
    return (y * weight).sum(), (y, updated["batch_stats"])

  grads, (y, updated) = jax.grad(loss, argnums=(0, 1), has_aux=True)(params, x)
  return y, updated.get("bn", updated), grads


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_training_is_that_of_flax(x, dtype):
  y, updated, grads = _trained(_ours, x, dtype)
  expected = _trained(_flax, x, dtype)
  np.testing.assert_array_equal(y, expected[0])
  jax.tree.map(np.testing.assert_array_equal, updated, expected[1])
  assert y.dtype == dtype
  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(a, b, rtol=2e-5, atol=2e-5),
    grads,
    expected[2],
  )


def test_start_and_evaluation_are_those_of_flax(x):
  (apply, init), (flax_apply, flax_init) = (
    layer(train=False, dtype=jnp.float32) for layer in (_ours, _flax)
  )
  start = {k: v["bn"] for k, v in init(jax.random.key(0), x).items()}
  jax.tree.map(
    np.testing.assert_array_equal, start, flax_init(jax.random.key(0), x)
  )
  moved = jax.tree.map(lambda leaf: leaf + 0.5, start)
  np.testing.assert_array_equal(apply(moved, x), flax_apply(moved, x))


def test_a_constant_channel_has_a_finite_gradient():
  x = jnp.full((2, 4, 4, 1), 7.0)
  one, zero = jnp.ones(1), jnp.zeros(1)

  def total(x):
    y, _, _ = batch_norm.batch_norm(
      x, one, zero, epsilon=1e-5, dtype=jnp.float32
    )
    return (y * jnp.arange(32.0).reshape(x.shape)).sum()

  grad = jax.grad(total)(x)
  # Of (x - mean) / sqrt(epsilon): the weights without their mean.
  expected = (np.arange(32.0) - 15.5) / np.sqrt(1e-5)
  np.testing.assert_allclose(np.ravel(grad), expected, rtol=1e-5)


def test_both_forms_of_the_sums(x):
  """The form of a GPU runs on no CPU otherwise."""
  both = x, x * x
  expected = [np.asarray(a, np.float64).sum((0, 1, 2)) for a in both]
  for form in (batch_norm.sums_together, batch_norm.sums_one_by_one):
    for a, b in zip(form(*both), expected, strict=True):
      np.testing.assert_allclose(a, b, rtol=1e-5)
