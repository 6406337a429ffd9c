"""Inference: running statistics, test-time views, D without dropout."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from apppau_jax.inference import steps
from apppau_jax.models.discriminator import Discriminator
from apppau_jax.transforms import augment


@pytest.fixture(scope="module")
def images():
  """Grey levels from 0 to 255 in each image, so that minmax divides by 255."""
  rng = np.random.default_rng(0)
  image = rng.integers(0, 256, (4, 16, 16, 1)).astype(np.uint8)
  image[:, 0, 0], image[:, 0, 1] = 0, 255
  return image


def _unit(image):
  return jnp.asarray(image, jnp.float32) / 255.0


def test_an_image_does_not_depend_on_its_neighbours(tiny, images):
  variables = jax.jit(tiny.init)().averages["segmentor"]
  segment = steps.segment_step(tiny.module)
  apply = jax.jit(lambda *x: tiny.module.apply(*x, train=False))
  all_of = segment(variables, images).logits
  alone = segment(variables, images[2:3]).logits
  np.testing.assert_allclose(all_of[2:3], alone, atol=1e-6)
  expected = apply(variables, _unit(images)).logits
  np.testing.assert_allclose(all_of, expected, atol=1e-6)


def test_views_are_averaged_in_probability(tiny, images):
  """Against the mean of separately turned, segmented and turned-back views."""
  variables = jax.jit(tiny.init)().averages["segmentor"]
  segment = steps.segment_step(tiny.module, views=((10.0, 1.1),))
  apply = jax.jit(lambda *x: tiny.module.apply(*x, train=False))
  turn = jax.jit(augment.turn, static_argnames=("degrees", "zoom"))
  plain = apply(variables, _unit(images))
  view = turn(_unit(images), degrees=10.0, zoom=1.1)
  prob = jax.nn.sigmoid(apply(variables, view).logits)
  back = turn(prob, degrees=-10.0, zoom=1 / 1.1)
  mean = (jax.nn.sigmoid(plain.logits) + back) / 2
  output = segment(variables, images)
  np.testing.assert_allclose(jax.nn.sigmoid(output.logits), mean, atol=1e-5)
  np.testing.assert_allclose(
    output.side_logits[-1], plain.side_logits[-1], atol=1e-5
  )


def test_classification_has_no_dropout(images):
  network = Discriminator(base_width=2, depth=2, dropout=0.4)
  mask = (images > 128).astype(np.float32)
  init = jax.jit(lambda *x: network.init(*x, train=False))
  variables = init(jax.random.key(0), _unit(images), mask)
  apply = jax.jit(lambda *x: network.apply(*x, train=False))
  expected = apply(variables, _unit(images), mask).logits
  found = steps.classify_step(network)(variables, images, mask)
  np.testing.assert_allclose(found, expected, atol=1e-6)
