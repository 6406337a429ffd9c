"""A new segmentation loss needs one function and one line in a registry.

docs/how_to/add_loss.md quotes the function. Its value and its gradient are
compared with NumPy; nothing trains.
"""

import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from apppau_jax import losses
from apppau_jax.losses import pixels
from configs import base


def focal_tversky_loss(
  logits, mask, *, fp_weight=0.3, fn_weight=0.7, smooth=1e-6
):
  """Tversky loss to the power 3/4, Abraham and Khan 2019, arXiv:1810.07842."""
  logits, mask = pixels.as_floats(logits, mask)
  inside, outside = jax.nn.sigmoid(logits), jax.nn.sigmoid(-logits)
  hit = jnp.sum(mask * inside, axis=(1, 2))
  error = fp_weight * jnp.sum((1 - mask) * inside, axis=(1, 2))
  error += fn_weight * jnp.sum(mask * outside, axis=(1, 2))
  return jnp.mean((error / (hit + error + smooth)) ** 0.75, axis=-1)


REGISTRY = {**losses.LOSSES, "focal_tversky": focal_tversky_loss}


def expected(logits, mask, *, fp_weight, fn_weight, smooth):
  """Value `[b]`, and its gradient, in float64 by the quotient rule."""
  p = 1 / (1 + np.exp(-logits))
  hit = (mask * p).sum(axis=(1, 2), keepdims=True)
  error = (fp_weight * (1 - mask) * p + fn_weight * mask * (1 - p)).sum(
    axis=(1, 2), keepdims=True
  )
  total = hit + error + smooth
  d_error = fp_weight * (1 - mask) - fn_weight * mask
  d_ratio = (d_error * total - error * (mask + d_error)) / total**2
  ratio, structures = error / total, logits.shape[-1]
  gradient = 0.75 * ratio**-0.25 * d_ratio * p * (1 - p) / structures
  return (ratio**0.75).mean(axis=(1, 2, 3)), gradient


@pytest.fixture
def example():
  rng = np.random.default_rng(0)
  logits = rng.normal(0, 2, (3, 5, 4, 2)).astype(np.float32)
  mask = (rng.uniform(size=logits.shape) < 0.4).astype(np.float32)
  mask[1, ..., 0] = 0  # an empty mask
  return logits, mask


@pytest.mark.parametrize(
  "options",
  [
    {"fp_weight": 0.3, "fn_weight": 0.7, "smooth": 1e-6},
    {"fp_weight": 1.5, "fn_weight": 0.2, "smooth": 0.5},
  ],
)
def test_value_and_gradient_are_those_of_numpy(example, options):
  logits, mask = example
  loss = REGISTRY["focal_tversky"]
  value, gradient = expected(
    logits.astype(np.float64), mask.astype(np.float64), **options
  )
  np.testing.assert_allclose(loss(logits, mask, **options), value, rtol=1e-5)
  found = jax.jit(jax.grad(lambda s: loss(s, mask, **options).sum()))(logits)
  np.testing.assert_allclose(found, gradient, rtol=1e-4, atol=1e-7)


def test_every_registered_loss_uses_keys_of_the_configuration():
  """So that a configuration can choose it and set its parameters."""
  keys = base.get_config().loss.to_dict()
  for name, loss in REGISTRY.items():
    parameters = [*inspect.signature(loss).parameters.values()][2:]
    for parameter in parameters:
      assert parameter.kind is parameter.KEYWORD_ONLY, name
      assert parameter.default == keys[parameter.name], name
