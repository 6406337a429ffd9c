"""Outlines, tints and colours, at pixels picked by hand."""

import numpy as np
import pytest

from apppau_jax.inference import overlay


def _square(top, left, *, side=6, shape=(16, 16)):
  region = np.zeros(shape, bool)
  region[top : top + side, left : left + side] = True
  return region


def test_shifted_squares():
  # Rows and columns 2..7 against 4..9: they share 4..7.
  drawn = overlay.compare(
    np.full((16, 16), 0.2), mask=_square(2, 2), prediction=_square(4, 4)
  )
  grey = 51

  def blend(colour):
    return tuple(round(0.55 * grey + 0.45 * x) for x in colour)

  expected = {
    (0, 0): (grey,) * 3,  # outside both
    (5, 6): (grey,) * 3,  # inside both, on no outline
    (2, 2): overlay.TRUTH,  # corner of the mask
    (7, 3): overlay.TRUTH,  # lower edge of the mask
    (3, 3): blend(overlay.TRUTH),  # missed lung
    (9, 9): overlay.PREDICTION,  # corner of the prediction
    (4, 6): overlay.PREDICTION,  # its upper edge, inside the mask
    (8, 8): blend(overlay.PREDICTION),  # not lung
    (4, 7): overlay.AGREED,  # the outlines cross here
    (7, 4): overlay.AGREED,
  }
  assert {at: tuple(drawn[at].tolist()) for at in expected} == expected
  assert (drawn.dtype, drawn.shape) == (np.uint8, (16, 16, 3))


@pytest.mark.parametrize(("width", "inside"), [(1, 4), (2, 2)])
def test_equal_masks_have_one_outline_that_grows_inwards(width, inside):
  mask = _square(4, 4)
  drawn = overlay.compare(
    np.zeros((16, 16)), mask=mask, prediction=mask, width=width
  )
  white = (drawn == overlay.AGREED).all(axis=-1)
  within = _square(4 + width, 4 + width, side=inside)
  np.testing.assert_array_equal(white, mask & ~within)
  assert not drawn[~white].any()


def test_empty_masks_edges_and_wild_pixels():
  image = np.array([[np.nan, -1.0], [0.5, 7.0]])
  empty, full = np.zeros((2, 2), bool), np.ones((2, 2), bool)
  plain = overlay.compare(image, mask=empty, prediction=empty)
  np.testing.assert_array_equal(plain[..., 1], [[0, 0], [128, 255]])
  framed = overlay.compare(image, mask=full, prediction=empty)
  assert (framed == overlay.TRUTH).all()  # the frame's edge is an outline


def test_outline_colours_differ_in_lightness_too():
  lightness = [
    np.dot([0.2126, 0.7152, 0.0722], c)
    for c in (overlay.PREDICTION, overlay.TRUTH, overlay.AGREED)
  ]
  assert min(np.diff(lightness)) > 20
  assert len({overlay.colour(k) for k in range(7)}) == 7


def test_structures_are_tinted_and_outlined_in_their_colours():
  mask = np.stack([_square(2, 2), _square(8, 8, side=8)], axis=-1)
  prediction = np.stack([_square(2, 2), _square(9, 9)], axis=-1)
  drawn = overlay.draw(np.full((16, 16), 0.4), mask=mask, prediction=prediction)
  first, second = map(overlay.colour, (0, 1))

  def tinted(colour):
    return tuple(np.rint(0.65 * 102 + 0.35 * np.array(colour)).astype(int))

  assert tuple(drawn[2, 2]) == first  # outlined
  assert tuple(drawn[4, 4]) == tinted(first)  # inside
  assert tuple(drawn[8, 8]) == tinted(second)  # missed
  assert tuple(drawn[9, 9]) == second
  assert tuple(drawn[0, 15]) == (102,) * 3
  both = np.ones((12, 12, 2), bool)  # a later structure covers an earlier one
  covered = overlay.draw(np.zeros((12, 12)), mask=both, prediction=both)
  assert tuple(covered[0, 5]) == second
  assert overlay.legend(["left_lung"]) == [("left lung", first)]


def test_a_single_structure_is_drawn_like_the_lungs():
  rng = np.random.default_rng(0)
  mask, prediction = rng.random((2, 16, 16, 1)) < 0.5
  image = rng.random((16, 16))
  drawn = overlay.draw(image, mask=mask, prediction=prediction)
  lungs = overlay.compare(
    image, mask=mask[..., 0], prediction=prediction[..., 0]
  )
  np.testing.assert_array_equal(drawn, lungs)
  for draw in (overlay.draw, overlay.compare):
    with pytest.raises(ValueError, match="one shape"):
      draw(image, mask=mask[1:], prediction=prediction)


@pytest.mark.parametrize(("side", "width"), [(200, 2), (1024, 3)])
def test_predictions_stand_out_from_bone_and_air(side, width):
  """On white and on black: colour inside, a dark line outside, legend below."""
  image = np.zeros((side, side))
  image[:, : side // 2] = 1.0
  mask = np.zeros((side, side, 2), bool)
  mask[20:80, 10:190, 0] = mask[100:150, 20:60, 1] = True
  drawn = overlay.outline(image, mask)
  first, second = map(overlay.colour, (0, 1))
  for column in (50, 180):
    line = drawn[15:30, column].tolist()
    assert line[5 : 5 + width] == [[*first]] * width
    assert [*first] not in line[:5] + line[5 + width :]
  assert drawn[19, 50].max() < 128  # the dark line on bone
  assert tuple(drawn[100, 40]) == second
  assert (drawn[40, 50] == drawn[5, 50]).all()  # no tint inside
  names = ("left_lung", "a_structure_of_a_rather_long_name")
  whole = overlay.with_legend(drawn, names)
  np.testing.assert_array_equal(whole[:side, :side], drawn)
  strip = whole[side:].reshape(-1, 3)
  for rgb in (first, second, (255, 255, 255)):
    assert (strip == rgb).all(axis=1).sum() > 9
  with pytest.raises(ValueError, match="one shape"):
    overlay.outline(image[1:], mask)
