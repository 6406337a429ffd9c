"""The doorway refuses what does not fit through it."""

import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest

from apppau_jax.batch import Batch


@pytest.fixture
def batch():
  return Batch(
    image=jnp.arange(3 * 4 * 4, dtype=jnp.uint8).reshape(3, 4, 4, 1),
    mask=jnp.ones((3, 4, 4, 2), jnp.uint8),
    label=jnp.array([0, 1, -1]),
    has_mask=jnp.array([True, False, True]),
    has_label=jnp.array([True, True, False]),
  )


def test_take_is_numpys_indexing(batch):
  taken = batch.check().take(jnp.array([2, 0, 2, 1]))
  for name in ("image", "mask", "label", "has_mask", "has_label"):
    np.testing.assert_array_equal(
      getattr(taken, name), np.asarray(getattr(batch, name))[[2, 0, 2, 1]]
    )
  taken.check()


@pytest.mark.parametrize(
  ("field", "value"),
  [
    ("mask", jnp.ones((3, 4, 5, 1))),
    ("mask", jnp.ones((2, 4, 4, 1))),
    ("image", jnp.ones((3, 4, 4))),
    ("image", jnp.ones((3, 4, 4, 3))),
    ("label", jnp.ones((2,))),
    ("has_mask", jnp.ones((3,))),
  ],
)
def test_disagreement_is_refused(batch, field, value):
  with pytest.raises(AssertionError):
    dataclasses.replace(batch, **{field: value}).check()
