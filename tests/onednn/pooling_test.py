"""The maximum over windows by the bridge, against NumPy and XLA."""

import jax
import numpy as np
import pytest

from apppau_jax.models import blocks
from apppau_jax.onednn import bridge, pooling

pytestmark = pytest.mark.skipif(
  bool(bridge.missing()), reason=f"no oneDNN: {bridge.missing()}"
)


@pytest.mark.parametrize("shape", [(2, 8, 6, 3), (3, 4, 10, 16), (2, 6, 2, 37)])
def test_values_and_gradients_are_xlas(shape):
  rng = np.random.default_rng(0)
  # Few values, so that many windows have several maxima.
  image = rng.integers(0, 3, shape).astype(np.float32)
  slope = rng.standard_normal(
    (shape[0], shape[1] // 2, shape[2] // 2, shape[3])
  )

  def run(pool):
    @jax.jit
    def both(image, slope):
      y, pull = jax.vjp(pool, image)
      return y, *pull(slope)

    return both

  inputs = image, slope.astype(np.float32)
  text = run(pooling.max_pool).lower(*inputs).as_text()
  assert text.count("apppau_pool") >= 2
  for found, expected in zip(
    run(pooling.max_pool)(*inputs), run(blocks.max_pool)(*inputs)
  ):
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_nan_wins_and_one_image_is_xlas():
  image = np.arange(2 * 4 * 4 * 16, dtype=np.float32).reshape(2, 4, 4, 16)
  expected = image.reshape(2, 2, 2, 2, 2, 16).max((2, 4))
  np.testing.assert_array_equal(pooling.max_pool(image), expected)
  for row in (0, 1):
    for column in (0, 1):
      holed = image.copy()
      holed[0, row, column] = np.nan
      assert np.isnan(pooling.max_pool(holed)[0, 0, 0]).all()
  text = jax.jit(pooling.max_pool).lower(image[:1]).as_text()
  assert "apppau" not in text
