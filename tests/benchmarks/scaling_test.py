"""The model's arithmetic, and what is counted in a compiled program."""

import jax
import numpy as np
import pytest

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


def _machine(**changed):
  given = {
    "chips": 4,
    "peak_flops": 1e12,
    "link_bytes": 1e9,
    "latency": 1e-3,
    "chips_per_host": 2,
    "cores_per_host": 10,
    "flop_per_image": 1e9,
    "parameters": 1_000_000,
    "small_reductions": 5,
    "read_per_core": 100.0,
  }
  return scaling.Slice(**{**given, **changed})


def test_an_epoch_by_hand():
  found = scaling.epoch(_machine(), images=1001, per_chip=10, share=0.5)
  assert found["compute"] == pytest.approx(0.02)  # 10e9 / 0.5e12
  # 2 * 3/4 of 4 MB at 1 GB/s, and a millisecond
  assert found["gradients"] == pytest.approx(0.006 + 0.001)
  assert found["statistics"] == pytest.approx(0.005)
  assert found["read"] == pytest.approx(20 / 1000)
  assert found["step"] == pytest.approx(0.032)
  assert found["epoch"] == pytest.approx(26 * 0.032)


def test_slow_reading_is_what_a_step_waits_for():
  slow = _machine(read_per_core=1.0)
  found = scaling.epoch(slow, images=40, per_chip=10, share=0.5)
  assert found["step"] == found["read"] == pytest.approx(2.0)
