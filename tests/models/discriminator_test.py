"""D by NumPy: layers, norms, who sees whom, what each mode changes."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from apppau_jax.errors import ConfigError
from apppau_jax.models import discriminator

RNG = np.random.default_rng(0)
IMAGE = np.float32(RNG.normal(size=(3, 16, 16, 1)))
MASK = np.float32(RNG.random((3, 16, 16, 1)))
NORMS = ("batch", "group", "spectral")
every_norm = pytest.mark.parametrize("norm", NORMS)


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
def _network(norm, repeats=1, dropout=0.0, pooling="mean"):
  """A small D, and variables drawn here: no compiled initialisation."""
  module = discriminator.Discriminator(
    base_width=8,
    depth=2,
    norm=norm,
    pooling=pooling,
    repeats=repeats,
    dropout=dropout,
  )
  rng = np.random.default_rng(1)

  def fill(path, leaf):
    draw = rng.normal(size=leaf.shape)
    kind = path[-1].key
    if kind == "kernel":
      draw *= np.sqrt(2 / np.prod(leaf.shape[:-1]))
    elif kind in ("scale", "var") or kind.endswith("sigma"):
      draw = 1 + 0.3 * np.abs(draw)
    return jnp.asarray(draw, jnp.float32)

  return module, jax.tree_util.tree_map_with_path(
    fill, _shapes(module, side=16)[1]
  )


@functools.cache
def _compiled(norm, train, repeats=1, dropout=0.0):
  module, _ = _network(norm, repeats, dropout)

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


def _judge(norm, variables=None, *, train, image=IMAGE, mask=MASK, key=0):
  """Output and updated statistics, dropout 0."""
  if variables is None:
    variables = _network(norm)[1]
  return _compiled(norm, train)(variables, image, mask, jax.random.key(key))


# The oracle: float64, windows cut by hand.
def _conv(x, kernel, stride):
  size, out = kernel.shape[0], -(-x.shape[1] // stride)
  pad = max((out - 1) * stride + size - x.shape[1], 0)
  both = (pad // 2, pad - pad // 2)  # SAME: the odd row goes behind.
  x = np.pad(x, ((0, 0), both, both, (0, 0)))
  windows = np.lib.stride_tricks.sliding_window_view(x, (size, size), (1, 2))
  windows = windows[:, ::stride, ::stride]
  return np.einsum("bhwcij,ijco->bhwo", windows, kernel)


def _unit(kernel):
  flat = kernel.reshape(-1, kernel.shape[-1])
  return kernel / np.linalg.svd(flat, compute_uv=False)[0]


def _normalised(x, axes):
  return (x - x.mean(axes, keepdims=True)) / np.sqrt(
    x.var(axes, keepdims=True) + 1e-5
  )


def _oracle(
  norm, variables, *, train=False, repeats=1, pooling="mean", mask=MASK
):
  variables = jax.tree.map(np.float64, variables)
  params, stats = variables["params"], variables.get("batch_stats", {})
  seen = [IMAGE] if mask is None else [IMAGE, mask]
  x = np.float64(np.concatenate(seen, axis=-1))
  for stage in (1, 2):
    for i in range(1, repeats + 1):
      name = f"stage{stage}" + ("" if i == 1 else f"_{i}")
      kernel = params[name]["kernel"]
      if norm == "spectral":
        x = _conv(x, _unit(kernel), 2 if i == 1 else 1) + params[name]["bias"]
      else:
        x = _conv(x, kernel, 2 if i == 1 else 1)
        affine = params[f"{name}_norm"]
        if norm == "group":
          b, h, w, c = x.shape
          x = x.reshape(b, h, w, 8, c // 8)
          x = _normalised(x, (1, 2, 4)).reshape(b, h, w, c)
        elif train:
          x, affine = _normalised(x, (0, 1, 2)), affine["bn"]
        else:
          run, affine = stats[f"{name}_norm"]["bn"], affine["bn"]
          x = (x - run["mean"]) / np.sqrt(run["var"] + 1e-5)
        x = x * affine["scale"] + affine["bias"]
      x = np.where(x > 0, x, 0.2 * x)
  features = x.mean(axis=(1, 2))
  if pooling == "mean_max":
    features = np.concatenate([features, x.max(axis=(1, 2))], axis=-1)
  head = params["head"]
  kernel = _unit(head["kernel"]) if norm == "spectral" else head["kernel"]
  return features @ kernel + head["bias"], features


@functools.cache
def _settled():
  """The spectral D after its power iterations have converged."""
  variables = _network("spectral")[1]
  for _ in range(60):
    _, updated = _judge("spectral", variables, train=True)
    variables = {**variables, **updated}
  return variables


@pytest.mark.parametrize(
  ("norm", "train"),
  [("batch", False), ("batch", True), ("group", False), ("spectral", False)],
)
def test_is_its_layers(norm, train):
  variables = _settled() if norm == "spectral" else _network(norm)[1]
  output, _ = _judge(norm, variables, train=train)
  logits, features = _oracle(norm, variables, train=train)
  np.testing.assert_allclose(output.features, features, rtol=1e-3, atol=1e-4)
  np.testing.assert_allclose(output.logits, logits, rtol=1e-3, atol=1e-4)


def test_the_maximum_beside_the_mean():
  module, variables = _network("group", pooling="mean_max")
  output = jax.jit(functools.partial(module.apply, train=False))(
    variables, IMAGE, MASK
  )
  logits, features = _oracle("group", variables, pooling="mean_max")
  assert features.shape == (3, 32)
  np.testing.assert_allclose(output.features, features, rtol=1e-3, atol=1e-4)
  np.testing.assert_allclose(output.logits, logits, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("norm", ["batch", "group"])
def test_classes_of_the_image_alone(norm):
  """Stages of their own, by the oracle; the mask reaches the fake logit."""
  module = _network(norm)[0].clone(class_input="image")
  shapes = _shapes(module, side=16)[1]
  rng = np.random.default_rng(2)
  variables = jax.tree.map(
    lambda leaf: jnp.asarray(0.1 + 0.2 * rng.random(leaf.shape), jnp.float32),
    shapes,
  )
  judge = jax.jit(functools.partial(module.apply, train=False))
  output = judge(variables, IMAGE, MASK)

  def renamed(prefix, head):
    return {
      room: {
        name.removeprefix(prefix): values
        for name, values in tree.items()
        if name.startswith((f"{prefix}stage", head))
      }
      for room, tree in variables.items()
    }

  classes, _ = _oracle(norm, renamed("class_", "class_head"), mask=None)
  fake, features = _oracle(norm, renamed("", "head"))
  np.testing.assert_allclose(
    output.logits, np.concatenate([classes, fake], axis=1), rtol=1e-3
  )
  np.testing.assert_allclose(output.features, features, rtol=1e-3)
  other = judge(variables, IMAGE, 1 - MASK)
  np.testing.assert_array_equal(output.logits[:, :2], other.logits[:, :2])
  assert np.abs(output.logits - other.logits)[:, 2].min() > 1e-4


def test_repeats_are_layers_too():
  _, variables = _network("group", repeats=2)
  output, _ = _compiled("group", False, repeats=2)(
    variables, IMAGE, MASK, jax.random.key(0)
  )
  logits, features = _oracle("group", variables, repeats=2)
  np.testing.assert_allclose(output.features, features, rtol=1e-3, atol=1e-4)
  np.testing.assert_allclose(output.logits, logits, rtol=1e-3, atol=1e-4)


def test_count_by_hand():
  widths = [32, 64, 128, 256]
  convolutions = sum(25 * a * b for a, b in zip([2, *widths], widths))
  expected = convolutions + 2 * sum(widths) + 256 * 3 + 3
  assert expected == 1_078_531
  defaults = discriminator.Discriminator()
  output, variables = _shapes(defaults, side=128)
  assert _count(variables["params"]) == expected
  assert output.features.shape == (2, 256)
  group = discriminator.Discriminator(norm="group")
  assert _count(_shapes(group)[1]["params"]) == expected
  # A bias for the scale and offset of each norm.
  spectral = discriminator.Discriminator(norm="spectral")
  assert _count(_shapes(spectral)[1]["params"]) == expected - sum(widths)
  more = discriminator.Discriminator(repeats=3)
  extra = sum(2 * (9 * w * w + 2 * w) for w in widths)
  assert _count(_shapes(more)[1]["params"]) == expected + extra


@every_norm
@pytest.mark.parametrize("n", [2, 3])
@pytest.mark.parametrize("side", [32, 64])
def test_shapes(norm, n, side):
  module = discriminator.Discriminator(num_classes=n, base_width=4, norm=norm)
  output, variables = _shapes(module, side=side, structures=2)
  assert output.logits.shape == (2, n + 1)
  assert output.features.shape == (2, 32)
  assert variables["params"]["stage1"]["kernel"].shape == (5, 5, 3, 4)


def test_the_exposed_features_are_what_the_head_sees():
  """What the head sees is exposed; the oracle above says what it is."""
  _, variables = _network("group")
  output, _ = _judge("group", train=False)
  head = jax.tree.map(np.asarray, variables["params"]["head"])
  np.testing.assert_allclose(
    np.asarray(output.features) @ head["kernel"] + head["bias"],
    output.logits,
    rtol=1e-5,
    atol=1e-5,
  )


@every_norm
def test_who_sees_the_neighbours_in_training(norm):
  before, _ = _judge(norm, train=True)
  image, mask = IMAGE.copy(), MASK.copy()
  image[1:], mask[1:] = 2 * image[:0:-1] + 1, mask[1:] ** 2
  after, _ = _judge(norm, train=True, image=image, mask=mask)
  assert np.all(np.abs(after.logits - before.logits)[1:].max(axis=1) > 1e-3)
  moved = np.abs(after.logits[0] - before.logits[0]).max()
  if norm == "batch":
    assert moved > 1e-3
  else:
    assert moved < 1e-6


@every_norm
def test_nobody_sees_the_neighbours_in_evaluation(norm):
  before, _ = _judge(norm, train=False)
  after, _ = _judge(norm, train=False, image=IMAGE[[0, 2, 2]])
  np.testing.assert_allclose(after.logits[0], before.logits[0], atol=1e-6)
  assert np.abs(after.logits[1] - before.logits[1]).max() > 1e-4


@every_norm
def test_image_and_mask_both_matter(norm):
  output, _ = _judge(norm, train=False)
  for change in ({"image": 1 - IMAGE}, {"mask": 1 - MASK}):
    other, _ = _judge(norm, train=False, **change)
    assert np.all(np.abs(other.logits - output.logits).max(axis=1) > 1e-4)


def test_running_statistics_of_batch_norm():
  _, variables = _network("batch")
  _, updated = _judge("batch", train=True)
  first = _conv(
    np.float64(np.concatenate([IMAGE, MASK], axis=-1)),
    np.float64(variables["params"]["stage1"]["kernel"]),
    2,
  )
  old = variables["batch_stats"]["stage1_norm"]["bn"]
  new = updated["batch_stats"]["stage1_norm"]["bn"]
  for kind, value in (
    ("mean", first.mean((0, 1, 2))),
    ("var", first.var((0, 1, 2))),
  ):
    np.testing.assert_allclose(
      new[kind], 0.9 * old[kind] + 0.1 * value, rtol=1e-4, atol=1e-5
    )
  # In evaluation they are used, and left alone.
  output, nothing = _judge("batch", train=False)
  assert not nothing
  other, _ = _judge("batch", {**variables, **updated}, train=False)
  assert np.abs(other.logits - output.logits).max() > 1e-3


def test_spectral_norm_of_every_kernel_is_one():
  """sigma comes from numpy.linalg.svd of the kernel as `[-1, out]`."""
  variables = _settled()
  params, stats = variables["params"], variables["batch_stats"]
  for name in ("stage1", "stage2", "head"):
    (sigma,) = (
      value for key, value in stats[f"{name}_sn"].items() if "sigma" in key
    )
    kernel = np.float64(params[name]["kernel"])
    assert np.linalg.norm(kernel) > 1.1  # Before, not of norm 1 by chance.
    effective = (kernel / sigma).reshape(-1, kernel.shape[-1])
    largest = np.linalg.svd(effective, compute_uv=False)[0]
    assert largest == pytest.approx(1, abs=1e-2), name


def test_spectral_norm_forgets_the_scale_of_kernels():
  variables = _settled()
  louder = jax.tree_util.tree_map_with_path(
    lambda path, w: 7 * w if path[-1].key == "kernel" else w,
    variables["params"],
  )
  output, _ = _judge("spectral", variables, train=False)
  other, _ = _judge("spectral", {**variables, "params": louder}, train=False)
  np.testing.assert_allclose(other.logits, output.logits, rtol=1e-4, atol=1e-5)


def test_dropout_in_training_only():
  _, variables = _network("group", dropout=0.4)

  def ask(train, key):
    apply = _compiled("group", train, dropout=0.4)
    seed = jax.random.key(key, impl="rbg")  # Compiles six times as fast.
    return apply(variables, IMAGE, MASK, seed)[0].logits

  assert np.abs(ask(True, 0) - ask(True, 1)).max() > 1e-3
  np.testing.assert_array_equal(ask(True, 0), ask(True, 0))
  np.testing.assert_array_equal(ask(False, 0), ask(False, 1))
  # The same weights without dropout: evaluation drops and scales nothing.
  np.testing.assert_array_equal(
    ask(False, 0), _judge("group", variables, train=False)[0].logits
  )


@every_norm
def test_bfloat16_computes_but_reports_float32(norm):
  module, variables = _network(norm)
  half = jax.jit(
    lambda v: module.clone(dtype=jnp.bfloat16).apply(
      v, IMAGE, MASK, train=False
    )
  )(variables)
  full, _ = _judge(norm, train=False)
  assert half.logits.dtype == half.features.dtype == jnp.float32
  difference = np.abs(half.logits - full.logits).max()
  assert 0 < difference < 0.05 * np.abs(full.logits).max() + 0.02


def test_a_norm_that_does_not_exist():
  module = discriminator.Discriminator(norm="layer")
  with pytest.raises(ConfigError, match=r"'layer'.*batch, group, spectral"):
    _shapes(module)
  module = discriminator.Discriminator(pooling="median")
  with pytest.raises(ConfigError, match=r"'median'.*mean, mean_max"):
    _shapes(module)
  module = discriminator.Discriminator(class_input="mask")
  with pytest.raises(ConfigError, match=r"'mask'.*pair, image"):
    _shapes(module)
