"""A colour a structure, at pixels picked by hand."""

import numpy as np
import pytest

from apppau_jax.inference import overlay


def test_references_are_tinted_and_predictions_outlined_in_one_colour():
  mask, prediction = np.zeros((2, 20, 20, 2), bool)
  mask[2:8, 2:8, 0] = prediction[2:8, 2:8, 0] = True
  mask[10:18, 10:18, 1] = True
  prediction[11:17, 11:17, 1] = True
  drawn = overlay.draw(np.full((20, 20), 0.4), mask=mask, prediction=prediction)
  first, second = map(overlay.colour, (0, 1))
  grey = np.full(3, 102.0)

  def tinted(colour):
    return np.rint(0.65 * grey + 0.35 * np.array(colour)).astype(np.uint8)

  assert tuple(drawn[2, 2]) == first  # outlined
  np.testing.assert_array_equal(drawn[4, 4], tinted(first))  # inside
  np.testing.assert_array_equal(drawn[10, 10], tinted(second))  # missed
  assert tuple(drawn[11, 11]) == second
  np.testing.assert_array_equal(drawn[0, 19], grey)


def test_a_later_structure_lies_on_an_earlier_one_and_none_is_told_as_another():
  both = np.ones((12, 12, 2), bool)
  drawn = overlay.draw(np.zeros((12, 12)), mask=both, prediction=both)
  assert tuple(drawn[0, 5]) == overlay.colour(1)
  colours = {overlay.colour(k) for k in range(7)}
  assert len(colours) == 7
  legend = overlay.legend(["left_lung", "heart"])
  assert legend == [("left lung", overlay.colour(0)),
                    ("heart", overlay.colour(1))]  # fmt: skip


def test_a_single_one_is_drawn_as_the_lungs_are_and_shapes_must_agree():
  rng = np.random.default_rng(0)
  mask, prediction = rng.random((2, 16, 16, 1)) < 0.5
  image = rng.random((16, 16))
  drawn = overlay.draw(image, mask=mask, prediction=prediction)
  plain = overlay.compare(
    image, mask=mask[..., 0], prediction=prediction[..., 0]
  )
  np.testing.assert_array_equal(drawn, plain)
  with pytest.raises(ValueError, match="one shape"):
    overlay.draw(image, mask=mask[1:], prediction=prediction)
