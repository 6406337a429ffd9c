"""The plausible share of a mask belongs to what it outlines."""

import numpy as np
import pytest

from apppau_jax.errors import DataError
from apppau_jax.imaging import structure
from apppau_jax.imaging.structure import LUNGS


def _mask(fraction: float) -> np.ndarray:
  mask = np.zeros((102, 102), bool)
  inner = np.zeros(10_000, bool)
  inner[: round(fraction * 102 * 102)] = True
  mask[1:101, 1:101] = inner.reshape(100, 100)
  return mask


def test_lungs_pass_and_unusual_ones_are_remarked_on():
  assert LUNGS.check(_mask(0.25), name="a") == ""
  assert "8.4%" in LUNGS.check(_mask(0.084), name="a")
  assert "55.0%" in LUNGS.check(_mask(0.55), name="a")


@pytest.mark.parametrize(
  "mask", [_mask(0.0), _mask(0.03), _mask(0.7), ~_mask(0.45)]
)
def test_what_lungs_do_not_cover_is_refused(mask):
  """The last one is inverted, and has a plausible area."""
  with pytest.raises(DataError, match="CHN1"):
    LUNGS.check(mask, name="CHN1")


@pytest.mark.parametrize("fraction", [0.0, 0.0001, 0.3, 0.59])
def test_a_finding_may_be_absent_or_small(fraction):
  found = structure.finding("pneumothorax")
  assert found.check(_mask(fraction), name="a") == ""


@pytest.mark.parametrize("mask", [_mask(0.7), ~_mask(0.45), ~_mask(0.0)])
def test_an_inverted_finding_is_refused(mask):
  with pytest.raises(DataError, match=r"CHN1.*pneumothorax"):
    structure.finding("pneumothorax").check(mask, name="CHN1")
