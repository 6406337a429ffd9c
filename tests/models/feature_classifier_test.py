"""The pooled features and the linear layer, against NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from fixtures.tiny_network import TinyNet
from scipy import ndimage

from apppau_jax import models
from apppau_jax.models import blocks, feature_classifier

RNG = np.random.default_rng(0)
IMAGE = np.float32(RNG.normal(size=(2, 16, 16, 1)))
LUNGS = np.zeros((2, 16, 16), np.float32)
LUNGS[0, 2:13, 1:6] = 1.0
LUNGS[0, 4:11, 9:15] = 0.75
LUNGS[1, 5:9, 3:12] = 1.0
NETWORK = models.Segmentor(base_width=2, depth=1)


@pytest.fixture(scope="module")
def variables():
  init = jax.jit(lambda: NETWORK.init(jax.random.key(0), IMAGE, train=False))
  return jax.device_get(init())


def _captured(variables, image):
  """The outputs of the blocks, in the order of their names."""
  _, state = NETWORK.apply(
    variables,
    image,
    train=False,
    capture_intermediates=lambda m, _: isinstance(m, blocks.ConvBlock),
    mutable=["intermediates"],
  )
  found = state["intermediates"]
  return [np.asarray(found[name]["__call__"][0]) for name in sorted(found)]


def _resized(x, side):
  """`[b, h, w]` by SciPy's bilinear zoom, or by means of 2 x 2 pixels."""
  if side < x.shape[1]:
    return x.reshape(len(x), side, 2, side, 2).mean(axis=(2, 4))
  return ndimage.zoom(x, (1, 2, 2), order=1, mode="nearest", grid_mode=True)


def _expected(values, lungs):
  """The features of one image, cell by cell."""
  step = len(lungs) // len(values)
  middle = np.average(np.arange(lungs.shape[1]), weights=lungs.sum(axis=0))
  cells = []
  for i in range(len(values)):
    for j in range(len(values)):
      part = np.s_[i * step : (i + 1) * step, j * step : (j + 1) * step]
      columns = np.arange(part[1].start, part[1].stop)
      left = lungs[part][:, columns < middle].sum() / step**2
      cells.append((lungs[part].mean(), left, values[i, j]))
  weight, left, value = (np.array(column) for column in zip(*cells))
  mean = np.average(value, weights=weight, axis=0)
  sd = np.sqrt(np.average((value - mean) ** 2, weights=weight, axis=0))
  highest = value[weight > 0.5].max(axis=0)
  halves = [np.average(value, weights=w, axis=0) for w in (left, weight - left)]
  return np.concatenate([mean, sd, highest, abs(halves[0] - halves[1])])


def test_features_are_those_of_the_cells_within_the_lungs(variables):
  found = jax.jit(feature_classifier.pooled, static_argnums=0)(
    NETWORK, variables, IMAGE, LUNGS
  )
  for one, row in enumerate(np.asarray(found)):
    expected = []
    for side in (8, 16, 32):
      image, lungs = IMAGE[..., 0], LUNGS
      if side != 16:
        image, lungs = _resized(image, side), _resized(lungs, side)
      captured = _captured(variables, image[..., None])
      expected += [_expected(values[one], lungs[one]) for values in captured]
    np.testing.assert_allclose(
      row, np.concatenate(expected), rtol=5e-4, atol=5e-5
    )


def test_without_lungs_the_features_are_finite(variables):
  found = feature_classifier.pooled(
    NETWORK, variables, IMAGE, jnp.zeros_like(LUNGS)
  )
  assert np.isfinite(found).all()


def test_logits_are_linear_in_the_standardised_features(variables):
  network = models.FeatureClassifier(NETWORK, num_classes=3, lungs=(0, 2))
  mask = np.stack([LUNGS, np.ones_like(LUNGS), LUNGS[:, ::-1]], axis=-1)
  both = np.clip(LUNGS + LUNGS[:, ::-1], 0, 1)
  features = np.asarray(
    feature_classifier.pooled(NETWORK, variables, IMAGE, both)
  )
  count = features.shape[1]
  mean, sd = RNG.normal(size=count), RNG.uniform(0.5, 2, count)
  kernel, bias = RNG.normal(size=(count, 3)), RNG.normal(size=3)
  own = {
    "params": {
      **{"mean": mean, "sd": sd},
      "head": {"kernel": kernel, "bias": bias},
    }
  }
  joined = jax.tree.map(np.float32, feature_classifier.joined(own, variables))
  output = network.apply(joined, IMAGE, mask, train=False)
  np.testing.assert_allclose(
    output.logits,
    np.hstack([(features - mean) / sd @ kernel + bias, np.zeros((2, 1))]),
    rtol=1e-3,
    atol=1e-3,
  )
  np.testing.assert_allclose(output.features, features, rtol=1e-5, atol=1e-5)


def test_its_own_variables_are_separate_from_the_segmentors(variables):
  network = models.FeatureClassifier(NETWORK, num_classes=2)
  found = jax.eval_shape(
    lambda: network.init(
      jax.random.key(0), IMAGE, LUNGS[..., None], train=False
    )
  )
  own = feature_classifier.own(found)
  assert sorted(own["params"]) == ["head", "mean", "sd"]
  joined = feature_classifier.joined(own, variables)
  shapes = jax.tree.map(np.shape, joined)
  assert shapes == jax.tree.map(np.shape, found)


def test_what_cannot_be_classified_is_refused(variables):
  net = TinyNet()
  plain = net.init(jax.random.key(0), IMAGE, train=False)
  with pytest.raises(ValueError, match="ConvBlock"):
    feature_classifier.pooled(net, plain, IMAGE, LUNGS)
  with pytest.raises(ValueError, match="fitted"):
    models.FeatureClassifier(NETWORK, num_classes=2).apply(
      variables, IMAGE, LUNGS[..., None], train=True
    )
