"""A packed state is the same state, and a step moves it alike."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from apppau_jax.training import optimizers, packing
from apppau_jax.training import state as state_lib


@pytest.fixture
def tree():
  kernel = jnp.arange(24.0).reshape(1, 2, 3, 4)
  return {"a": {"kernel": kernel, "bias": jnp.array([50.0, 51.0])}}


def test_leaves_lie_in_two_vectors(tree):
  packed = packing.Layout.of(tree).pack(tree)
  # The four outputs of the kernel come first, each with its six weights.
  expected = np.arange(24.0).reshape(6, 4).T.ravel()
  np.testing.assert_array_equal(packed.kernels, expected[None])
  np.testing.assert_array_equal(packed.others, [50.0, 51.0])
  jax.tree.map(np.testing.assert_array_equal, packed.unpack(), tree)


def test_a_tree_without_kernels(tree):
  bias = {"bias": tree["a"]["bias"]}
  packed = packing.Layout.of(bias).pack(bias)
  assert packed.kernels is None
  jax.tree.map(np.testing.assert_array_equal, packed.unpack(), bias)


def test_a_packed_state_is_the_state(game, assert_same):
  """Parameters, both moments, statistics and averages of both players."""
  state = jax.jit(game.init)()
  packed = jax.jit(state_lib.pack)(state)
  assert_same(state_lib.unpack(packed), state)
  assert_same(packed.averages, state.averages)
  # Of each player the kernels and the others of four trees, two trees of
  # statistics, and two counters of the optimiser. And the step.
  assert len(jax.tree.leaves(packed)) == 2 * (4 * 2 + 2 + 2) + 1


def test_a_step_of_a_packed_state_is_the_step(game, resident):
  """With weight decay, which tells kernels from others, and with clipping."""
  game = type(game)(resident)
  game.optimizer = optimizers.make_optimizer(
    schedule=optax.constant_schedule(0.05), weight_decay=0.5, grad_clip=0.1
  )
  step, state = game.step(), jax.jit(game.init)()

  @jax.jit
  def both(state, batch):
    packed, metrics = step(state_lib.pack(state), batch)
    return step(state, batch), (state_lib.unpack(packed), metrics)

  expected, found = both(state, game.first())
  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6),
    found,
    expected,
  )
