"""Inference: running statistics, test-time views, D on given masks."""

import jax
import jax.numpy as jnp
import numpy as np

from apppau_jax.inference import steps
from apppau_jax.models.discriminator import Discriminator
from apppau_jax.transforms import augment


def test_predict_uses_running_statistics(tiny, resident):
  """An image's prediction does not depend on its neighbours."""
  state = jax.jit(tiny.init)()
  predict = steps.make_predict_step(
    tiny.module, prepare=lambda x: x.astype(jnp.float32) / 255.0
  )
  all_of = predict(state.segmentor.ema, resident.image).logits
  alone = predict(state.segmentor.ema, resident.image[2:3]).logits
  np.testing.assert_allclose(all_of[2:3], alone, atol=1e-6)


def test_views_are_averaged_in_probability(tiny, resident):
  """Against the mean of separately turned, segmented and turned-back views."""
  variables = jax.jit(tiny.init)().segmentor.ema
  views = ((10.0, 1.1), (-5.0, 0.9))

  def scaled(x):
    return x.astype(jnp.float32) / 255.0

  predict = steps.make_predict_step(tiny.module, prepare=scaled, views=views)
  plain = steps.make_predict_step(tiny.module, prepare=lambda x: x)
  image = scaled(resident.image)
  probs = [jax.nn.sigmoid(plain(variables, image).logits)]
  for degrees, zoom in views:
    seen = plain(
      variables, augment.turn(image, degrees=degrees, zoom=zoom)
    ).logits
    probs.append(
      augment.turn(jax.nn.sigmoid(seen), degrees=-degrees, zoom=1 / zoom)
    )
  output = predict(variables, resident.image)
  np.testing.assert_allclose(
    jax.nn.sigmoid(output.logits), np.mean(probs, axis=0), atol=1e-5
  )
  np.testing.assert_allclose(
    output.side_logits[-1], plain(variables, image).logits, atol=1e-5
  )


def test_a_diagnosis_is_of_the_image_as_it_is(resident):
  judge = Discriminator(base_width=2, depth=2, dropout=0.4)
  image = resident.image.astype(jnp.float32) / 255.0
  mask = resident.mask.astype(jnp.float32)
  variables = judge.init(jax.random.key(0), image, mask, train=False)
  diagnose = steps.make_diagnose_step(
    judge, prepare=lambda x: x.astype(jnp.float32) / 255.0
  )
  expected = judge.apply(variables, image, mask, train=False).logits
  found = diagnose(variables, resident.image, resident.mask)
  np.testing.assert_allclose(found, expected, atol=1e-6)
