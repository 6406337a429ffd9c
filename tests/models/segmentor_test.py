"""The eight presets: shapes, counts, wiring."""

import functools
import json
import pathlib

import chex
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from apppau_jax.models import segmentor

GOLDEN = pathlib.Path(__file__).parents[1] / "golden" / "segmentor.json"


def _init(module, side):
  image = jnp.zeros((1, side, side, 1))
  return jax.eval_shape(
    lambda: module.init(jax.random.key(0), image, train=False)
  )


def _count(tree):
  return sum(leaf.size for leaf in jax.tree.leaves(tree))


@pytest.fixture(scope="module")
def ppau():
  module = segmentor.from_preset("ppau_unet", base_width=2)
  rng = np.random.default_rng(0)
  image = jnp.asarray(rng.random((2, 32, 48, 1)), jnp.float32)
  variables = _init(module, 32)

  # Drawn here: compiling the initialisation takes longer than all the tests.
  def fill(path, leaf):
    kind = path[-1].key
    if kind == "kernel":
      scale = np.sqrt(2 / np.prod(leaf.shape[:-1]))
      return jnp.asarray(rng.normal(size=leaf.shape) * scale, jnp.float32)
    return jnp.full(leaf.shape, float(kind in ("scale", "var")))

  return module, jax.tree_util.tree_map_with_path(fill, variables), image


@pytest.mark.parametrize("side", [128, 256])
@pytest.mark.parametrize("name", list(segmentor.PRESETS))
def test_golden_shapes_and_counts(name, side):
  module = segmentor.from_preset(name, base_width=32)
  variables = _init(module, side)
  output = jax.eval_shape(
    lambda v, x: module.apply(v, x, train=False),
    variables,
    jnp.zeros((3, side, side, 1)),
  )
  golden = json.loads(GOLDEN.read_text())[name]
  assert _count(variables["params"]) == golden["parameters"]
  assert output.logits.shape == (3, side, side, 1)
  sides = [list(s.shape) for s in output.side_logits]
  assert sides == [[3, side // d, side // d, 1] for d in golden["side_outputs"]]
  gates = {k: list(a.shape) for k, a in output.attention.items()}
  assert gates == {
    k: [3, side // d, side // d, 1] for k, d in golden["attention"].items()
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
  got = _count(_init(segmentor.from_preset("unet"), 128)["params"])
  assert got == expected


def test_each_switch_adds_what_it_says():
  count = {
    name: _count(_init(segmentor.from_preset(name), 64)["params"])
    for name in segmentor.PRESETS
  }
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
  flags = ("pyramid", "progressive", "attention")
  for name, switches in segmentor.PRESETS.items():
    extra = sum(parts[f] for f, on in zip(flags, switches) if on)
    assert count[name] - count["unet"] == extra, name


def test_sides_are_progressive_sums(ppau):
  """Zeroing a coarse head's bias moves every finer output by the same."""
  module, variables, image = ppau
  before = module.apply(variables, image, train=False)
  params = jax.tree.map(jnp.copy, variables["params"])
  params["head4"]["bias"] = params["head4"]["bias"] + 0.7
  after = module.apply({**variables, "params": params}, image, train=False)
  for a, b in zip(after.side_logits, before.side_logits):
    np.testing.assert_allclose(a - b, 0.7, atol=1e-5)
  np.testing.assert_array_equal(after.logits, after.side_logits[-1])


def test_closed_gates_leave_nothing_of_the_skips(ppau):
  """With psi at -inf, alpha is 0 and the gated skips carry no image."""
  module, variables, image = ppau
  params = jax.tree.map(jnp.copy, variables["params"])
  for level in range(1, 5):
    params[f"AG{level}"]["psi"]["bias"] = jnp.full((1,), -1e4)
  output, state = module.apply(
    {**variables, "params": params},
    image,
    train=False,
    capture_intermediates=lambda m, _: m.name and m.name.startswith("AG"),
  )
  for name, alpha in output.attention.items():
    assert not np.any(alpha), name
  for level in range(1, 5):
    gated, _ = state["intermediates"][f"AG{level}"]["__call__"][0]
    # Running mean 0, scale 1, bias 0: BatchNorm of zeros is zero.
    assert not np.any(gated)


def test_image_enters_every_scale(ppau):
  """Only the pyramid sees the image once E1's features are cut off."""
  module, variables, image = ppau
  params = jax.tree.map(jnp.copy, variables["params"])
  params["E1"] = jax.tree.map(jnp.zeros_like, params["E1"])

  def moved(module, params):
    def output(x):
      return module.apply({**variables, "params": params}, x, train=False)

    return bool(np.any(output(image).logits != output(image * 0.3).logits))

  assert moved(module, params)
  for level in range(2, 5):
    params[f"pyramid{level}"] = jax.tree.map(
      jnp.zeros_like, params[f"pyramid{level}"]
    )
  assert not moved(module, params)


def test_bfloat16_computes_but_reports_float32(ppau):
  _, variables, image = ppau
  half = segmentor.from_preset("ppau_unet", base_width=2, dtype=jnp.bfloat16)
  full = segmentor.from_preset("ppau_unet", base_width=2)
  a = half.apply(variables, image, train=False)
  b = full.apply(variables, image, train=False)
  assert {leaf.dtype for leaf in jax.tree.leaves(a)} == {jnp.dtype("float32")}
  difference = np.abs(a.logits - b.logits).max()
  assert 0 < difference < 0.05 * np.abs(b.logits).max() + 0.05


def test_train_mode_updates_running_statistics(ppau):
  module, variables, image = ppau
  _, updated = module.apply(
    variables, image, train=True, mutable=["batch_stats"]
  )
  first = nn.Conv(2, (3, 3), use_bias=False)
  kernel = variables["params"]["E1"]["conv1"]
  features = first.apply({"params": kernel}, image)
  got = updated["batch_stats"]["E1"]["norm1"]["bn"]
  np.testing.assert_allclose(
    got["mean"], 0.1 * features.mean((0, 1, 2)), rtol=1e-4, atol=1e-6
  )
  np.testing.assert_allclose(
    got["var"], 0.9 + 0.1 * features.var((0, 1, 2)), rtol=1e-4
  )


def test_with_groups_no_image_sees_another():
  """Alone or in a batch, in training or in use: the same answer."""
  module = segmentor.from_preset("ppau_unet", base_width=2, norm="group")
  batch = segmentor.from_preset("ppau_unet", base_width=2)
  shapes = _init(module, 32)
  assert set(shapes) == {"params"}  # no running statistics
  assert _count(shapes) == _count(_init(batch, 32)["params"])
  rng = np.random.default_rng(0)
  variables = jax.tree.map(
    lambda leaf: jnp.asarray(rng.normal(size=leaf.shape) / 3, jnp.float32),
    shapes,
  )
  images = jnp.asarray(rng.random((2, 32, 32, 1)), jnp.float32)
  both = module.apply(variables, images, train=True).logits
  alone = module.apply(variables, images[1:], train=False).logits
  assert np.abs(both[0] - both[1]).max() > 0.01
  np.testing.assert_allclose(both[1:], alone, rtol=1e-4, atol=1e-4)


def test_wrong_size_is_refused():
  module = segmentor.from_preset("unet", base_width=2)
  with pytest.raises(ValueError, match=r"multiples of 16.*40x32"):
    module.init(jax.random.key(0), jnp.zeros((1, 40, 32, 1)), train=False)


def test_several_structures_and_gated_levels():
  module = segmentor.from_preset(
    "ppau_unet", base_width=2, num_structures=5, gated_levels=(2, 3)
  )
  output = jax.eval_shape(
    lambda: module.init_with_output(
      jax.random.key(0), jnp.zeros((1, 32, 32, 1)), train=False
    )
  )[0]
  assert output.logits.shape == (1, 32, 32, 5)
  assert sorted(output.attention) == ["D2", "D3"]


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
