"""D against NumPy: layers, pooling, inputs of the classes, effect of modes."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from apppau_jax.models import discriminator

RNG = np.random.default_rng(0)
IMAGE = np.float32(RNG.normal(size=(3, 16, 16, 1)))
MASK = np.float32(RNG.random((3, 16, 16, 1)))


def _shapes(module, *, side=32, structures=1):
  return jax.eval_shape(
    lambda: module.init_with_output(
      jax.random.key(0),
      jnp.zeros((2, side, side, 1)),
      jnp.zeros((2, side, side, structures)),
      train=False,
    )
  )


def _count(tree):
  return sum(leaf.size for leaf in jax.tree.leaves(tree))


@functools.cache
def _network(**fields):
  """A small D, and random variables that need no compiled initialisation."""
  module = discriminator.Discriminator(
    base_width=8, depth=2, **{"dropout": 0.0, **fields}
  )
  rng = np.random.default_rng(1)

  def fill(path, leaf):
    draw = rng.normal(size=leaf.shape)
    kind = path[-1].key
    if kind == "kernel":
      draw *= np.sqrt(2 / np.prod(leaf.shape[:-1]))
    elif kind in ("scale", "var"):
      draw = 1 + 0.3 * np.abs(draw)
    return jnp.asarray(draw, jnp.float32)

  return module, jax.tree_util.tree_map_with_path(
    fill, _shapes(module, side=16)[1]
  )


@functools.cache
def _compiled(train, **fields):
  module, _ = _network(**fields)

  @jax.jit
  def apply(variables, image, mask, key):
    return module.apply(
      variables,
      image,
      mask,
      train=train,
      rngs={"dropout": key},
      mutable=["batch_stats"] if train else [],
    )

  return apply


def _run(*, train, variables=None, image=IMAGE, mask=MASK, seed=0, **fields):
  """Return output and updated statistics."""
  variables = variables or _network(**fields)[1]
  key = jax.random.key(seed, impl="rbg")  # compiles six times as fast
  return _compiled(train, **fields)(variables, image, mask, key)


# The oracle: float64, windows cut by hand.
def _conv(x, kernel, stride=2):
  size, out = kernel.shape[0], -(-x.shape[1] // stride)
  pad = max((out - 1) * stride + size - x.shape[1], 0)
  both = (pad // 2, pad - pad // 2)  # SAME: the odd row goes behind
  x = np.pad(x, ((0, 0), both, both, (0, 0)))
  windows = np.lib.stride_tricks.sliding_window_view(x, (size, size), (1, 2))
  windows = windows[:, ::stride, ::stride]
  return np.einsum("bhwcij,ijco->bhwo", windows, kernel)


def _oracle(variables, *, train=False, pooling="mean", prefix="", mask=MASK):
  """Return the logits of one head and the features behind it."""
  params, stats = (
    jax.tree.map(np.float64, variables[name])
    for name in ("params", "batch_stats")
  )
  x = np.float64(IMAGE if mask is None else np.concatenate([IMAGE, mask], -1))
  for name in (f"{prefix}stage1", f"{prefix}stage2"):
    x = _conv(x, params[name]["kernel"])
    running, affine = (tree[f"{name}_norm"]["bn"] for tree in (stats, params))
    if train:
      running = {"mean": x.mean((0, 1, 2)), "var": x.var((0, 1, 2))}
    x = (x - running["mean"]) / np.sqrt(running["var"] + 1e-5)
    x = x * affine["scale"] + affine["bias"]
    x = np.where(x > 0, x, 0.2 * x)
  features = x.mean(axis=(1, 2))
  if pooling == "mean_max":
    features = np.concatenate([features, x.max(axis=(1, 2))], axis=-1)
  head = params[f"{prefix}head"]
  return features @ head["kernel"] + head["bias"], features


@pytest.mark.parametrize(
  ("pooling", "train"),
  [("mean", False), ("mean", True), ("mean_max", False)],
)
def test_equals_its_layers(pooling, train):
  output, _ = _run(train=train, pooling=pooling)
  _, variables = _network(pooling=pooling)
  logits, features = _oracle(variables, train=train, pooling=pooling)
  assert features.shape == (3, 16 if pooling == "mean" else 32)
  np.testing.assert_allclose(output.features, features, rtol=1e-3, atol=1e-4)
  np.testing.assert_allclose(output.logits, logits, rtol=1e-3, atol=1e-4)


def test_classes_of_the_image_alone():
  """The classes have their own stages; the mask reaches the fake logit."""
  output, _ = _run(train=False, class_input="image")
  _, variables = _network(class_input="image")
  classes, _ = _oracle(variables, prefix="class_", mask=None)
  fake, features = _oracle(variables)
  expected = np.concatenate([classes, fake], axis=1)
  np.testing.assert_allclose(output.logits, expected, rtol=1e-3, atol=1e-4)
  np.testing.assert_allclose(output.features, features, rtol=1e-3, atol=1e-4)
  other, _ = _run(train=False, class_input="image", mask=1 - MASK)
  np.testing.assert_array_equal(output.logits[:, :2], other.logits[:, :2])
  assert np.abs(output.logits - other.logits)[:, 2].min() > 1e-4


def test_count_by_hand_and_shapes():
  widths = [32, 64, 128, 256]
  convolutions = sum(25 * a * b for a, b in zip([2, *widths], widths))
  expected = convolutions + 2 * sum(widths) + 256 * 3 + 3
  assert expected == 1_078_531
  output, variables = _shapes(discriminator.Discriminator(), side=128)
  assert _count(variables["params"]) == expected
  assert output.features.shape == (2, 256)
  module = discriminator.Discriminator(num_classes=3, base_width=4)
  output, variables = _shapes(module, structures=2)
  assert output.logits.shape == (2, 4)
  assert variables["params"]["stage1"]["kernel"].shape == (5, 5, 3, 4)


def test_examples_influence_each_other_in_training_only():
  image, mask = IMAGE.copy(), MASK.copy()
  image[1:], mask[1:] = 2 * image[:0:-1] + 1, mask[1:] ** 2
  for train in (True, False):
    before, _ = _run(train=train)
    after, _ = _run(train=train, image=image, mask=mask)
    moved = np.abs(after.logits - before.logits).max(axis=1)
    assert np.all(moved[1:] > 1e-3)
    assert (moved[0] > 1e-3) if train else (moved[0] < 1e-6)


def test_running_statistics_are_updated_and_used():
  _, variables = _network()
  output, _ = _run(train=False)
  _, updated = _run(train=True)
  pair = np.float64(np.concatenate([IMAGE, MASK], axis=-1))
  first = _conv(pair, np.float64(variables["params"]["stage1"]["kernel"]))
  old, new = (
    tree["batch_stats"]["stage1_norm"]["bn"] for tree in (variables, updated)
  )
  batch = {"mean": first.mean((0, 1, 2)), "var": first.var((0, 1, 2))}
  for kind, value in batch.items():
    expected = 0.9 * old[kind] + 0.1 * value
    np.testing.assert_allclose(new[kind], expected, rtol=1e-4, atol=1e-5)
  other, _ = _run(train=False, variables={**variables, **updated})
  assert np.abs(other.logits - output.logits).max() > 1e-3


def test_dropout_in_training_only():
  def logits(train, seed):
    return _run(train=train, seed=seed, dropout=0.4)[0].logits

  assert np.abs(logits(True, 0) - logits(True, 1)).max() > 1e-3
  np.testing.assert_array_equal(logits(True, 0), logits(True, 0))
  np.testing.assert_array_equal(logits(False, 0), logits(False, 1))
  # The same weights without dropout: evaluation drops and scales nothing.
  np.testing.assert_array_equal(logits(False, 0), _run(train=False)[0].logits)


def test_bfloat16_computes_but_reports_float32():
  half, _ = _run(train=False, dtype=jnp.bfloat16)
  full, _ = _run(train=False)
  assert half.logits.dtype == half.features.dtype == jnp.float32
  difference = np.abs(half.logits - full.logits).max()
  assert 0 < difference < 0.05 * np.abs(full.logits).max() + 0.02


@pytest.mark.parametrize(
  ("fields", "match"),
  [
    ({"pooling": "median"}, "'median'.*mean, mean_max"),
    ({"class_input": "mask"}, "'mask'.*pair, image"),
  ],
)
def test_unknown_options_are_refused(fields, match):
  with pytest.raises(ValueError, match=match):
    _shapes(discriminator.Discriminator(**fields))
