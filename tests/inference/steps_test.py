"""Inference: running statistics, test-time views, D on given masks."""

import jax
import jax.numpy as jnp
import numpy as np

from apppau_jax.inference import steps
from apppau_jax.models.discriminator import Discriminator
from apppau_jax.transforms import augment


def _scaled(x):
  return x.astype(jnp.float32) / 255.0


def test_an_image_does_not_depend_on_its_neighbours(tiny, resident):
  variables = jax.jit(tiny.init)().segmentor.ema
  segment = jax.jit(steps.segment_step(tiny.module, prepare=_scaled))
  all_of = segment(variables, resident.image).logits
  alone = segment(variables, resident.image[2:3]).logits
  np.testing.assert_allclose(all_of[2:3], alone, atol=1e-6)


def test_views_are_averaged_in_probability(tiny, resident):
  """Against the mean of separately turned, segmented and turned-back views."""
  variables = jax.jit(tiny.init)().segmentor.ema
  views = ((10.0, 1.1),)
  segment = steps.segment_step(tiny.module, prepare=_scaled, views=views)
  plain = jax.jit(steps.segment_step(tiny.module, prepare=lambda x: x))
  image = _scaled(resident.image)
  probs = [jax.nn.sigmoid(plain(variables, image).logits)]
  turn = jax.jit(augment.turn, static_argnames=("degrees", "zoom"))
  for degrees, zoom in views:
    view = turn(image, degrees=degrees, zoom=zoom)
    prob = jax.nn.sigmoid(plain(variables, view).logits)
    probs.append(turn(prob, degrees=-degrees, zoom=1 / zoom))
  output = jax.jit(segment)(variables, resident.image)
  np.testing.assert_allclose(
    jax.nn.sigmoid(output.logits), np.mean(probs, axis=0), atol=1e-5
  )
  np.testing.assert_allclose(
    output.side_logits[-1], plain(variables, image).logits, atol=1e-5
  )


def test_classification_has_no_dropout_and_no_views(resident):
  network = Discriminator(base_width=2, depth=2, dropout=0.4)
  image = _scaled(resident.image)
  mask = resident.mask.astype(jnp.float32)
  init = jax.jit(lambda key: network.init(key, image, mask, train=False))
  variables = init(jax.random.key(0))
  classify = jax.jit(steps.classify_step(network, prepare=_scaled))
  apply = jax.jit(lambda *x: network.apply(*x, train=False))
  expected = apply(variables, image, mask).logits
  found = classify(variables, resident.image, resident.mask)
  np.testing.assert_allclose(found, expected, atol=1e-6)
