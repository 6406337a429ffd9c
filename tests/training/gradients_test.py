"""Accumulation, several steps a call and bfloat16: the same numbers."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from apppau_jax.losses import objectives, tversky
from apppau_jax.models import blocks, segmentor
from apppau_jax.models.segmentor import SegmentorOutput
from apppau_jax.training import gradients, parallel, steps
from apppau_jax.training import state as state_lib


class Pixelwise(nn.Module):
  """A logit a pixel; no BatchNorm, no convolution."""

  @nn.compact
  def __call__(self, image, *, train):
    logits = nn.Dense(1)(nn.relu(nn.Dense(4)(image)))
    return SegmentorOutput(logits=logits, side_logits=(logits,), attention={})


def _state(tiny):
  return state_lib.TrainState(
    step=jnp.int32(0),
    segmentor=state_lib.init_player(
      Pixelwise(),
      jnp.zeros((1, 16, 16, 1)),
      key=jax.random.key(0),
      optimizer=tiny.optimizer,
    ),
  )


def _step(tiny, *, accumulate=1):
  return steps.make_train_step(
    Pixelwise(),
    objective=tiny.objective,
    optimizer=tiny.optimizer,
    prepare=tiny.prepare,
    ema_decay=0.9,
    seed=0,
    accumulate=accumulate,
  )


def _loss(params, batch_stats, examples, key):
  del key
  image, mask = examples
  output = Pixelwise().apply({"params": params}, image, train=True)
  each = tversky.tversky_loss(output.logits, mask, smooth=1.0)
  return each.mean(), ({"first": each[0]}, batch_stats)


@pytest.mark.parametrize("parts", [2, 4])
def test_gradient_in_parts_is_that_of_the_whole(tiny, resident, parts):
  """Against one gradient over all rows, and by hand for the terms."""
  player = jax.jit(functools.partial(_state, tiny))().segmentor
  image = resident.image / np.float32(255)
  examples = (image, resident.mask.astype(jnp.float32))
  key = jax.random.key(0)
  (loss, (terms, _)), grads = gradients.gradient(
    _loss, player, examples, key, accumulate=parts
  )
  (whole, _), expected = jax.value_and_grad(_loss, has_aux=True)(
    player.params, {}, examples, key
  )
  assert float(loss) == pytest.approx(float(whole), rel=1e-6)
  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(a, b, rtol=2e-5, atol=1e-7),
    grads,
    expected,
  )
  # Row i is in part i % parts: the parts' first rows are rows 0 to parts - 1.
  firsts = []
  for i in range(parts):
    row = jax.tree.map(lambda x, i=i: x[i : i + 1], examples)
    firsts.append(float(_loss(player.params, {}, row, key)[0]))
  assert float(terms["first"]) == pytest.approx(np.mean(firsts), rel=1e-5)


def test_an_accumulated_step_is_the_step(tiny, resident):
  """The same draws too: a batch is augmented before it is taken apart."""
  state = jax.jit(functools.partial(_state, tiny))()
  batch = resident.take(np.array([5, 0, 3, 6]))
  whole, _ = jax.jit(_step(tiny))(state, batch)
  parts, metrics = jax.jit(_step(tiny, accumulate=2))(state, batch)
  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5), whole, parts
  )
  assert set(metrics) == {"loss", "segmentation", "grad_norm"}


def test_batch_norm_moves_with_every_part(tiny, resident):
  """Running means after two parts, written out."""
  state = jax.jit(tiny.init)()
  batch = resident.take(np.array([5, 0, 3, 6]))
  step = steps.make_train_step(
    tiny.module,
    objective=tiny.objective,
    optimizer=tiny.optimizer,
    prepare=lambda key, batch: batch.replace(
      image=batch.image / jnp.float32(255)
    ),
    ema_decay=0.9,
    seed=0,
    accumulate=2,
  )
  after, _ = jax.jit(step)(state, batch)
  kernel = state.segmentor.params["Conv_0"]["kernel"]
  image = np.asarray(batch.image) / np.float32(255)
  features = jax.lax.conv_general_dilated(
    image, kernel, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
  )
  mean = np.zeros(4)
  for part in (0, 1):
    own = np.asarray(features, np.float64)[part::2].mean(axis=(0, 1, 2))
    mean = 0.9 * mean + 0.1 * own
  np.testing.assert_allclose(
    after.segmentor.batch_stats["BatchNorm_0"]["mean"], mean, rtol=1e-5
  )


def test_several_steps_a_call_are_the_steps(tiny, resident):
  """Within rounding: another program, other kernels."""
  mesh = tiny.mesh()
  rows = np.arange(24, dtype=np.int32).reshape(6, 4) % 8
  one = parallel.compile_train_step(_step(tiny), mesh)
  state = parallel.compile_init(functools.partial(_state, tiny), mesh)
  losses = []
  for row in rows:
    state, metrics = one(state, resident, row)
    losses.append(float(metrics["loss"]))
  run = parallel.compile_train_step(_step(tiny), mesh, steps_per_call=4)
  again = parallel.compile_init(functools.partial(_state, tiny), mesh)
  found = []
  for call in (rows[:4], rows[4:]):  # the second, shorter, is a new program
    again, metrics = run(again, resident, call)
    found.extend(np.asarray(metrics["loss"]))
  np.testing.assert_allclose(found, losses, rtol=1e-5)
  assert int(again.step) == int(state.step) == 6
  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5), again, state
  )
  with pytest.raises(RuntimeError, match="traced twice"):
    run(again, resident, rows[:4, :2])


def test_bfloat16_computes_in_it_and_keeps_float32(resident):
  """Parameters, statistics, outputs, loss and gradients are float32."""
  net = segmentor.from_preset(
    "ppau_unet", base_width=1, depth=1, dtype=jnp.bfloat16
  )
  image = resident.image / np.float32(255)
  mask = resident.mask.astype(jnp.float32)

  def loss(variables):
    output, stats = net.apply(
      variables, image, train=True, mutable=["batch_stats"]
    )
    value, _ = objectives.segmentation_objective(
      output.side_logits,
      mask,
      has_mask=resident.has_mask,
      loss_fn=tversky.tversky_loss,
    )
    return value, (output, stats)

  variables = jax.eval_shape(
    functools.partial(net.init, train=False), jax.random.key(0), image
  )
  everything = jax.eval_shape(jax.value_and_grad(loss, has_aux=True), variables)
  assert {x.dtype for x in jax.tree.leaves(variables)} == {jnp.dtype("float32")}
  assert {x.dtype for x in jax.tree.leaves(everything)} == {
    jnp.dtype("float32")
  }
  text = str(
    jax.make_jaxpr(loss)(jax.tree.map(lambda x: jnp.zeros(x.shape), variables))
  )
  assert "bf16[8,16,16,1] = conv_general_dilated" in text


def test_bfloat16_statistics_are_summed_in_float32():
  """A mean of 4096 values near 1: bfloat16 has three digits of it."""
  rng = np.random.default_rng(0)
  x = jnp.asarray(1 + 0.05 * rng.random((16, 16, 16, 1)), jnp.bfloat16)
  norm = blocks.Norm(jnp.bfloat16)
  variables = norm.init(jax.random.key(0), x, train=False)
  y, stats = norm.apply(variables, x, train=True, mutable=["batch_stats"])
  assert y.dtype == jnp.bfloat16
  mean = np.asarray(x, np.float64).mean()
  found = float(stats["batch_stats"]["bn"]["mean"][0]) / 0.1
  assert found == pytest.approx(mean, rel=1e-5)
