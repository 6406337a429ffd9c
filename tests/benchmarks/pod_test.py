"""The model of an epoch against sums done by hand."""

import pytest

from benchmarks import pod


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
  return pod.Slice(**{**given, **changed})


def test_an_epoch_by_hand():
  found = pod.epoch(_machine(), images=1001, per_chip=10, share=0.5)
  assert found["compute"] == pytest.approx(0.02)  # 10e9 / 0.5e12
  # 2 * 3/4 of 4 MB at 1 GB/s, and a millisecond
  assert found["gradients"] == pytest.approx(0.006 + 0.001)
  assert found["statistics"] == pytest.approx(0.005)
  assert found["read"] == pytest.approx(20 / 1000)
  assert found["step"] == pytest.approx(0.032)
  assert found["epoch"] == pytest.approx(26 * 0.032)


def test_slow_reading_is_what_a_step_waits_for():
  slow = _machine(read_per_core=1.0)
  found = pod.epoch(slow, images=40, per_chip=10, share=0.5)
  assert found["step"] == found["read"] == pytest.approx(2.0)
