"""What is counted in a compiled program."""

import jax
import numpy as np

from apppau_jax.training import parallel
from benchmarks import scaling


def test_all_reduces_of_a_known_program_are_counted():
  """A mean over rows on two devices: one sum of three float32."""
  mesh = parallel.make_mesh(batch_size=4, devices=jax.devices()[:2])
  rows = parallel.replicate(np.ones((4, 3), np.float32), mesh)
  mean = parallel.compile_predict(lambda _, x: x.sum(axis=0), mesh)
  text = mean.lower(None, rows).compile().as_text()
  assert scaling.reduced_bytes(text) == (1, 12)


def test_several_arrays_in_one_all_reduce():
  line = "  %a = (f32[2,3]{1,0}, bf16[4]{0}, f32[]) all-reduce(%b, %c, %d), x"
  assert scaling.reduced_bytes(line) == (1, 24 + 8 + 4)
