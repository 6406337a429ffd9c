"""Dataclasses in exported programs' files."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
from jax import export

from apppau_jax.exportable import exportable


@exportable
@chex.dataclass(frozen=True, mappable_dataclass=False)
class Pair:
  second: jax.Array
  first: tuple[jax.Array, ...]


def test_a_program_returns_them_from_a_file():
  def make(x):
    return {"pair": Pair(second=x + 1, first=(x, x * x))}

  x = jnp.arange(3.0)
  written = export.export(jax.jit(make))(x).serialize()
  found = export.deserialize(written).call(x)["pair"]
  assert isinstance(found, Pair)
  np.testing.assert_array_equal(found.second, [1, 2, 3])
  np.testing.assert_array_equal(found.first[1], [0, 1, 4])
