"""bfloat16 is the type of the convolutions alone."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from apppau_jax.losses import objectives, tversky
from apppau_jax.models import blocks, segmentor


def test_parameters_statistics_outputs_and_gradients_are_float32(resident):
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
  for tree in (variables, everything):
    assert {x.dtype for x in jax.tree.leaves(tree)} == {jnp.dtype("float32")}
  text = str(
    jax.make_jaxpr(loss)(jax.tree.map(lambda x: jnp.zeros(x.shape), variables))
  )
  assert "bf16[8,16,16,1] = conv_general_dilated" in text


def test_statistics_are_summed_in_float32():
  """A mean of 4096 values near 1, of which bfloat16 has three digits."""
  rng = np.random.default_rng(0)
  x = jnp.asarray(1 + 0.05 * rng.random((16, 16, 16, 1)), jnp.bfloat16)
  norm = blocks.Norm(jnp.bfloat16)
  variables = norm.init(jax.random.key(0), x, train=False)
  y, stats = norm.apply(variables, x, train=True, mutable=["batch_stats"])
  assert y.dtype == jnp.bfloat16
  mean = np.asarray(x, np.float64).mean()
  found = float(stats["batch_stats"]["bn"]["mean"][0]) / 0.1
  assert found == pytest.approx(mean, rel=1e-5)
