import numpy as np
import pytest

from apppau_jax.errors import DataError
from apppau_jax.imaging import polarity

LUNGS = np.zeros((64, 64), bool)
LUNGS[20:40, 10:25] = LUNGS[20:40, 38:53] = True


def _film(*, inside, around):
  return np.where(LUNGS, inside, around).astype(np.uint8)


def test_contrast_is_of_the_surroundings_only():
  film = _film(inside=50, around=90)
  film[60:] = 0  # far from the lungs
  assert polarity.lung_contrast(film, LUNGS) == 40
  film[41:43] = 0  # near them
  assert polarity.lung_contrast(film, LUNGS) < 40


@pytest.mark.parametrize(
  ("inside", "around", "negative"), [(82, 90, False), (98, 90, True)]
)
def test_a_decisive_difference_decides(inside, around, negative):
  film = _film(inside=inside, around=around)
  assert polarity.is_negative(film, LUNGS, name="x") == negative
  contrast = polarity.lung_contrast(film, LUNGS)
  assert bool(polarity.describe(contrast)) == negative


@pytest.mark.parametrize("inside", [83, 90, 97])
def test_a_small_difference_decides_nothing(inside):
  film = _film(inside=inside, around=90)
  with pytest.raises(DataError, match="image x"):
    polarity.is_negative(film, LUNGS, name="x")
  assert polarity.describe(polarity.lung_contrast(film, LUNGS))


def test_without_a_mask_nothing_is_decided():
  with pytest.raises(DataError, match="image x"):
    polarity.is_negative(_film(inside=0, around=90), None, name="x")
