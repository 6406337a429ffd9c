"""Estimated Dice: by hand, and against Dice over draws of references."""

import numpy as np
import pytest

from apppau_jax.inference import quality


def test_the_estimate_is_soft_dice():
  probs = np.array([[[0.9, 0.2], [0.6, 0.0]], [[0.1, 0.8], [0.0, 0.7]]])
  masks = probs >= 0.5
  found = quality.estimate(probs, masks, structures=("a", "b"))
  assert found["a"] == pytest.approx(2 * (0.9 + 0.6) / (1.6 + 2))
  assert found["b"] == pytest.approx(2 * (0.8 + 0.7) / (1.7 + 2))


def test_it_is_the_mean_dice_with_references_drawn_pixel_by_pixel():
  rng = np.random.default_rng(0)
  probs = rng.beta(0.2, 0.4, (40, 40))
  mask = probs >= 0.5
  drawn = rng.uniform(size=(400, 40, 40)) < probs
  dice = 2 * (drawn & mask).sum((1, 2)) / (drawn.sum((1, 2)) + mask.sum())
  found = quality.estimate(probs, mask)
  assert found["lungs"] == pytest.approx(dice.mean(), abs=0.003)


def test_a_certain_mask_has_1_and_an_empty_one_0():
  mask = np.zeros((8, 8), bool)
  mask[2:5] = True
  assert quality.estimate(mask * 1.0, mask) == {"lungs": 1.0}
  assert quality.estimate(mask * 0.3, mask & False) == {"lungs": 0.0}


def test_lungs_of_a_low_estimate_are_named():
  assert quality.remarks({"lungs": 0.97, "heart": 0.2}) == ()
  (text,) = quality.remarks({"left_lung": 0.41, "right_lung": 0.96})
  assert "left lung 0.41" in text
  assert "right" not in text


def test_another_shape_is_refused():
  with pytest.raises(ValueError, match="differ"):
    quality.estimate(np.zeros((2, 3)), np.zeros((3, 2), bool))
