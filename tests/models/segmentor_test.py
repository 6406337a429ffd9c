"""The presets of S: shapes, counts, wiring."""

import functools
import json
import pathlib

import chex
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from apppau_jax.models import network, segmentor

GOLDEN = json.loads(
  (pathlib.Path(__file__).parents[1] / "golden" / "segmentor.json").read_text()
)


def _init(module, side):
  image = jnp.zeros((1, side, side, 1))
  return jax.eval_shape(
    lambda: module.init(jax.random.key(0), image, train=False)
  )


def _count(tree):
  return sum(leaf.size for leaf in jax.tree.leaves(tree))


def _drawn(module):
  """Random variables by NumPy, which need no compiled initialisation."""
  rng = np.random.default_rng(0)

  def fill(path, leaf):
    kind = path[-1].key
    if kind == "kernel":
      scale = np.sqrt(2 / np.prod(leaf.shape[:-1]))
      return jnp.asarray(rng.normal(size=leaf.shape) * scale, jnp.float32)
    return jnp.full(leaf.shape, float(kind in ("scale", "var")))

  return jax.tree_util.tree_map_with_path(fill, _init(module, 32))


DEPTH = 2
PPAU = segmentor.from_preset("ppau_unet", base_width=2, depth=DEPTH)
LEVELS = range(1, DEPTH + 1)
IMAGE = np.random.default_rng(0).random((2, 16, 24, 1)).astype(np.float32)
apply = jax.jit(functools.partial(PPAU.apply, train=False))


@pytest.fixture(scope="module")
def variables():
  return _drawn(PPAU)


@pytest.mark.parametrize("name", list(segmentor.PRESETS))
def test_golden_shapes_and_counts(name):
  module = segmentor.from_preset(name, base_width=32)
  variables = _init(module, 128)
  output = jax.eval_shape(
    functools.partial(module.apply, train=False),
    variables,
    jnp.zeros((3, 128, 128, 1)),
  )
  golden = GOLDEN[name]
  assert _count(variables["params"]) == golden["parameters"]
  assert output.logits.shape == (3, 128, 128, 1)
  sides = [s.shape for s in output.side_logits]
  assert sides == [(3, 128 // d, 128 // d, 1) for d in golden["side_outputs"]]
  gates = {k: a.shape for k, a in output.attention.items()}
  assert gates == {
    k: (3, 128 // d, 128 // d, 1) for k, d in golden["attention"].items()
  }


def _double_conv(inputs, width):
  """Weights of two 3x3 convolutions without bias and of their BatchNorms."""
  return 9 * inputs * width + 9 * width * width + 4 * width


def test_unet_count_by_hand():
  w = [32, 64, 128, 256, 512]
  encoder = sum(_double_conv(a, b) for a, b in zip([1, *w], w))
  ups = sum(4 * a * b + 2 * b for a, b in zip(w[1:], w))
  decoder = sum(_double_conv(2 * b, b) for b in w[:-1])
  expected = encoder + ups + decoder + 32 + 1
  assert expected == 7_762_945
  assert GOLDEN["unet"]["parameters"] == expected


def test_each_switch_adds_its_layers():
  count = {name: golden["parameters"] for name, golden in GOLDEN.items()}
  w = [32, 64, 128, 256]
  coarser = [64, 128, 256, 512]
  heads = sum(c + 1 for c in w[1:])
  # theta, phi with bias, psi with bias, W, BatchNorm
  gates = sum(
    4 * c * (c // 2) + (g * (c // 2) + c // 2) + (c // 2 + 1) + c * c + 2 * c
    for c, g in zip(w, coarser)
  )
  # conv3x3 of the image with BatchNorm, and a wider first convolution
  pyramid = sum(9 * c + 2 * c + 9 * c * c for c in w[1:])
  parts = {"progressive": heads, "attention": gates, "pyramid": pyramid}
  for name in segmentor.PRESETS:
    module = segmentor.from_preset(name)
    extra = sum(more for part, more in parts.items() if getattr(module, part))
    assert count[name] - count["unet"] == extra, name


def _changed(variables, change):
  """The variables after `change` has edited the nested parameters."""
  params = jax.tree.map(jnp.copy, variables["params"])
  change(params)
  return {**variables, "params": params}


def test_sides_are_progressive_sums(variables):
  """Raising a coarse head's bias moves every finer output by the same."""

  def raised(params):
    params[f"head{DEPTH}"]["bias"] += 0.7

  before = apply(variables, IMAGE)
  after = apply(_changed(variables, raised), IMAGE)
  for a, b in zip(after.side_logits, before.side_logits):
    np.testing.assert_allclose(a - b, 0.7, atol=1e-5)
  np.testing.assert_array_equal(after.logits, after.side_logits[-1])


def test_closed_gates_leave_nothing_of_the_skips(variables):
  """With psi at -inf, alpha is 0 and the gated skips carry no image."""

  def close(params):
    for level in LEVELS:
      params[f"AG{level}"]["psi"]["bias"] = jnp.full((1,), -1e4)

  gated = functools.partial(
    PPAU.apply,
    train=False,
    capture_intermediates=lambda m, _: m.name and m.name.startswith("AG"),
  )
  output, state = jax.jit(gated)(_changed(variables, close), IMAGE)
  assert not any(np.any(alpha) for alpha in output.attention.values())
  for level in LEVELS:
    skip, _ = state["intermediates"][f"AG{level}"]["__call__"][0]
    # Running mean 0, scale 1, bias 0: BatchNorm of zeros is zero.
    assert not np.any(skip)


def test_image_enters_every_scale(variables):
  """Only the pyramid sees the image once E1's features are cut off."""

  def cut(params, *names):
    for name in names:
      params[name] = jax.tree.map(jnp.zeros_like, params[name])

  def moved(changed):
    outputs = (apply(changed, x).logits for x in (IMAGE, IMAGE * 0.3))
    return bool(np.any(np.subtract(*outputs)))

  pyramid = [f"pyramid{level}" for level in range(2, DEPTH + 1)]
  assert moved(_changed(variables, lambda p: cut(p, "E1")))
  assert not moved(_changed(variables, lambda p: cut(p, "E1", *pyramid)))


def test_bfloat16_computes_but_reports_float32(variables):
  half = PPAU.clone(dtype=jnp.bfloat16)
  a = jax.jit(functools.partial(half.apply, train=False))(variables, IMAGE)
  b = apply(variables, IMAGE)
  assert {leaf.dtype for leaf in jax.tree.leaves(a)} == {jnp.dtype("float32")}
  difference = np.abs(a.logits - b.logits).max()
  assert 0 < difference < 0.05 * np.abs(b.logits).max() + 0.05


def test_train_mode_updates_running_statistics(variables):
  train = functools.partial(PPAU.apply, train=True, mutable=["batch_stats"])
  _, updated = jax.jit(train)(variables, IMAGE)
  first = nn.Conv(2, (3, 3), use_bias=False)
  kernel = variables["params"]["E1"]["conv1"]
  features = first.apply({"params": kernel}, IMAGE)
  got = updated["batch_stats"]["E1"]["norm1"]["bn"]
  mean, var = features.mean((0, 1, 2)), features.var((0, 1, 2))
  np.testing.assert_allclose(got["mean"], 0.1 * mean, rtol=1e-4, atol=1e-6)
  np.testing.assert_allclose(got["var"], 0.9 + 0.1 * var, rtol=1e-4)


def test_group_normalisation_separates_the_images():
  """The output is the same alone or in a batch, in training or evaluation."""
  module = PPAU.clone(norm="group", depth=1)
  shapes = _init(module, 16)
  assert set(shapes) == {"params"}  # no running statistics
  assert _count(shapes) == _count(_init(PPAU.clone(depth=1), 16)["params"])
  rng = np.random.default_rng(0)
  variables = jax.tree.map(
    lambda leaf: jnp.asarray(rng.normal(size=leaf.shape) / 3, jnp.float32),
    shapes,
  )
  run = jax.jit(module.apply, static_argnames="train")
  both = run(variables, IMAGE, train=True).logits
  alone = run(variables, IMAGE[1:], train=False).logits
  assert np.abs(both[0] - both[1]).max() > 0.01
  np.testing.assert_allclose(both[1:], alone, rtol=1e-4, atol=1e-4)


def test_wrong_size_is_refused():
  module = segmentor.from_preset("unet", base_width=2)
  with pytest.raises(ValueError, match=r"multiples of 16.*40x32"):
    module.init(jax.random.key(0), jnp.zeros((1, 40, 32, 1)), train=False)


def test_several_structures():
  module = segmentor.from_preset("ppau_unet", base_width=2, num_structures=5)
  output, _ = jax.eval_shape(
    lambda: module.init_with_output(
      jax.random.key(0), jnp.zeros((1, 32, 32, 1)), train=False
    )
  )
  assert output.logits.shape == (1, 32, 32, 5)


def test_unknown_presets_are_refused_with_a_hint():
  with pytest.raises(ValueError, match=r"atention_unet.*attention_unet"):
    segmentor.from_preset("atention_unet")


def test_rematerialisation_changes_memory_not_numbers():
  """The same parameters by the same names, outputs, statistics, gradients."""
  image = np.random.default_rng(0).random((2, 16, 16, 1)).astype(np.float32)

  def build(remat):
    net = segmentor.from_preset("ppau_unet", base_width=1, depth=1, remat=remat)
    variables = jax.jit(functools.partial(net.init, train=False))(
      jax.random.key(0), image
    )

    def loss(params):
      output, stats = net.apply(
        {**variables, "params": params},
        image,
        train=True,
        mutable=["batch_stats"],
      )
      return (output.logits**2).sum(), (output, stats)

    program = jax.jit(jax.value_and_grad(loss, has_aux=True))
    text = str(jax.make_jaxpr(loss)(variables["params"]))
    return variables, program(variables["params"]), text

  (plain, expected, _), (again, found, text) = build(False), build(True)
  chex.assert_trees_all_equal(plain, again)
  # Before a normalisation the gradient of a scale is what rounding leaves of
  # terms as large as the other gradients: hence to them, not to itself.
  largest = max(np.abs(g).max() for g in jax.tree.leaves(expected[1]))
  chex.assert_trees_all_close(expected, found, rtol=1e-4, atol=1e-6 * largest)
  assert "remat" in text or "checkpoint" in text


def test_feature_dropout_passes_half_of_the_channels_doubled(variables):
  """What the decoder gets of the encoder, channel by channel; no parameter."""
  dropping = jax.jit(
    functools.partial(PPAU.apply, train=False, capture_intermediates=True)
  )
  key = {network.FEATURE_DROPOUT: jax.random.key(0)}
  output, state = dropping(variables, IMAGE, rngs=key)
  outputs = dict(state["intermediates"])
  del outputs["__call__"]
  found = {name: value["__call__"][0] for name, value in outputs.items()}
  dropped = [v for k, v in found.items() if k.startswith("Dropout")]
  whole = [found[name] for name in ("B", *(f"E{level}" for level in LEVELS))]
  assert len(dropped) == len(whole) == DEPTH + 1
  kept = []
  for after in dropped:
    before = next(v for v in whole if v.shape == after.shape)
    passed = np.asarray((after != 0).any(axis=(1, 2), keepdims=True))
    np.testing.assert_array_equal(after, 2 * before * passed)
    kept.append(passed.mean())
  assert 0.1 < np.mean(kept) < 0.9
  assert not np.allclose(output.logits, apply(variables, IMAGE).logits)
