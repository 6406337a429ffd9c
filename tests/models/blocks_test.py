"""The fast forms of the layers equal the textbook ones."""

import functools

import chex
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from apppau_jax.models import attention, blocks


@pytest.fixture
def x():
  return jax.random.normal(jax.random.key(0), (2, 8, 6, 3))


def test_pooling_is_flax_pooling(x):
  np.testing.assert_array_equal(
    blocks.max_pool(x), nn.max_pool(x, (2, 2), (2, 2))
  )
  np.testing.assert_allclose(
    blocks.avg_pool(x), nn.avg_pool(x, (2, 2), (2, 2)), atol=1e-6
  )


def test_pooling_gradient_is_flax_gradient(x):
  """Without ties; with them the two share the gradient differently."""
  weight = jax.random.normal(jax.random.key(1), (2, 4, 3, 3))

  def total(pool):
    return jax.grad(lambda v: (pool(v) * weight).sum())(x)

  expected = total(lambda v: nn.max_pool(v, (2, 2), (2, 2)))
  np.testing.assert_array_equal(total(blocks.max_pool), expected)


def test_up_is_a_transposed_convolution(x):
  """out[2i + dy, 2j + dx] = x[i, j] K[dy, dx], each pixel its own kernel."""
  up = blocks.Up(5)
  variables = up.init(jax.random.key(0), x, train=False)
  kernel = variables["params"]["conv"]["kernel"].reshape(3, 2, 2, 5)
  expected = np.zeros((2, 16, 12, 5))
  for dy in range(2):
    for dx in range(2):
      expected[:, dy::2, dx::2] = x @ kernel[:, dy, dx]
  got = up.apply(variables, x, train=False) * np.sqrt(1 + 1e-5)
  np.testing.assert_allclose(got, expected, atol=1e-5)


def test_depth_to_space_by_hand():
  x = jnp.arange(8.0).reshape(1, 1, 2, 4)
  expected = [[0, 1, 4, 5], [2, 3, 6, 7]]
  np.testing.assert_array_equal(
    blocks.depth_to_space(x)[0, :, :, 0], np.array(expected)
  )


def test_upsample_has_half_pixel_centres():
  x = jnp.array([0.0, 4.0]).reshape(1, 1, 2, 1)
  got = blocks.upsample(x)[0, 0, :, 0]
  np.testing.assert_allclose(got, [0.0, 1.0, 3.0, 4.0], atol=1e-6)


def test_attention_gate_is_equation_2():
  """An independent evaluation of eq. (2) with NumPy."""
  skip = jax.random.normal(jax.random.key(1), (1, 4, 4, 6))
  gating = jax.random.normal(jax.random.key(2), (1, 2, 2, 5))
  gate = attention.AttentionGate()
  variables = gate.init(jax.random.key(0), skip, gating, train=False)
  p = jax.tree.map(np.asarray, variables["params"])
  out, alpha = gate.apply(variables, skip, gating, train=False)

  x, g = np.asarray(skip)[0], np.asarray(gating)[0]
  theta = np.einsum(
    "iajbc,abcf->ijf", x.reshape(2, 2, 2, 2, 6), p["theta"]["kernel"]
  )
  phi = g @ p["phi"]["kernel"][0, 0] + p["phi"]["bias"]
  psi = np.maximum(theta + phi, 0) @ p["psi"]["kernel"][0, 0] + p["psi"]["bias"]
  coarse = 1 / (1 + np.exp(-psi[..., 0]))
  up = np.array([[1, 0], [0.75, 0.25], [0.25, 0.75], [0, 1]])
  expected = up @ coarse @ up.T
  np.testing.assert_allclose(alpha[0, ..., 0], expected, atol=1e-5)
  gated = (expected[..., None] * x) @ p["out"]["kernel"][0, 0]
  np.testing.assert_allclose(out[0], gated / np.sqrt(1 + 1e-5), atol=1e-5)
  assert p["theta"]["kernel"].shape == (2, 2, 6, 3)  # F_int = half of 6


@pytest.mark.parametrize(("width", "groups"), [(16, 8), (12, 4), (3, 1)])
def test_group_normalisation_by_hand(width, groups):
  """Each image and group of channels to mean 0 and variance 1."""
  x = 3.0 + 2.0 * np.random.default_rng(0).normal(size=(2, 4, 6, width))
  norm = blocks.Norm(kind="group")
  x32 = jnp.asarray(x, jnp.float32)
  variables = norm.init(jax.random.key(0), x32, train=True)
  got = norm.apply(variables, x32, train=True)
  parts = x.reshape(2, 24, groups, width // groups)
  centred = parts - parts.mean((1, 3), keepdims=True)
  expected = centred / np.sqrt(centred.var((1, 3), keepdims=True) + 1e-6)
  np.testing.assert_allclose(got, expected.reshape(x.shape), atol=1e-4)


def test_an_unknown_norm_is_refused(x):
  with pytest.raises(ValueError, match=r"layer.*batch, group"):
    blocks.Norm(kind="layer").init(jax.random.key(0), x, train=True)


@pytest.mark.parametrize("train", [True, False])
def test_batch_normalisation_is_flax_with_the_same_variables(x, train):
  module = blocks.BatchNorm(relu=True)
  flax = nn.BatchNorm(use_running_average=not train, momentum=0.9)
  variables = module.init(jax.random.key(1), x, train=train)
  chex.assert_trees_all_equal(variables, flax.init(jax.random.key(1), x))
  variables = jax.tree.map(lambda leaf: leaf + 0.3, variables)
  run = functools.partial(module.apply, mutable="batch_stats")
  found, new = run(variables, x, train=train)
  expected, new_expected = flax.apply(variables, x, mutable="batch_stats")
  np.testing.assert_array_equal(found, nn.relu(expected))
  chex.assert_trees_all_equal(new, new_expected)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_a_block_of_two_inputs_is_one_of_their_concatenation(x, dtype):
  """With the same parameters, down to their names and initial values."""
  block = blocks.ConvBlock(4, layers=blocks.Layers(dtype))
  joined = jnp.concatenate([x, x[..., :2] ** 2], axis=-1).astype(dtype)
  parts = joined[..., :3], joined[..., 3:]

  @jax.jit
  def run(*inputs):
    return block.init_with_output(jax.random.key(2), *inputs, train=True)

  found, expected = run(*parts), run(joined)
  chex.assert_trees_all_equal(found, expected)
  assert found[1]["params"]["conv1"]["kernel"].dtype == jnp.float32
