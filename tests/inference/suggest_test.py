"""Which films are chosen: against every other choice, and by hand."""

import itertools

import numpy as np
import pytest

from apppau_jax.inference import suggest


def _cost(features, chosen):
  apart = np.linalg.norm(features[:, None] - features[None], axis=-1)
  return apart[list(chosen)].min(axis=0).sum()


def test_one_film_is_the_medoid_and_more_are_near_the_best_choice():
  features = np.random.default_rng(0).normal(size=(12, 3))
  costs = [_cost(features, [i]) for i in range(12)]
  assert suggest.choose(features, 1) == [int(np.argmin(costs))]
  found = suggest.choose(features, 3)
  best = min(itertools.combinations(range(12), 3),
             key=lambda c: _cost(features, c))  # fmt: skip
  assert _cost(features, found) <= 1.25 * _cost(features, best)
  random = [_cost(features, c) for c in itertools.combinations(range(12), 3)]
  assert _cost(features, found) < np.quantile(random, 0.05)


def test_films_with_masks_are_not_chosen_again_and_cover_their_neighbours():
  groups = np.array([[0.0], [0.1], [5.0], [5.1], [9.0], [9.1]])
  found = suggest.choose(groups, 2, chosen=[0])
  assert {i // 2 for i in found} == {1, 2}
  assert suggest.choose(groups, 9, chosen=[0, 1, 2, 3, 4]) == [5]


def test_doubtful_films_weigh_more():
  groups = np.array([[0.0], [5.0], [-5.0]])
  weights = np.array([1.0, 1.0, 9.0])
  assert suggest.choose(groups, 1, chosen=[0], weights=weights) == [2]


def test_doubt_is_the_variance_of_a_pixels_class_over_the_area():
  certain = np.zeros((8, 8))
  certain[:4] = 1
  unsure = np.where(certain > 0, 0.5, 0.0)
  found = suggest.doubt(np.stack([certain, unsure])[None])
  np.testing.assert_allclose(found, [0, 32 * 0.25 / 16])
  # Members that contradict each other are in doubt together.
  other = certain[::-1]
  pair = np.stack([certain, other])[:, None]
  np.testing.assert_allclose(suggest.doubt(pair), [64 * 0.25 / 32])


def test_both_halves_of_a_description_weigh_alike():
  rng = np.random.default_rng(1)
  films = rng.integers(0, 4096, (7, 32, 32))
  probs = rng.uniform(size=(7, 32, 32))
  found = suggest.describe(films, probs)
  left, right = found[:, :256], found[:, 256:]
  assert (left**2).sum() == pytest.approx((right**2).sum(), rel=1e-4)
  # Exposure does not matter.
  np.testing.assert_allclose(
    found, suggest.describe(2.0 * films + 7, probs), atol=1e-4
  )


@pytest.mark.parametrize(("count", "chosen"), [(0, []), (1, [9]), (1, [-1])])
def test_what_is_no_choice_is_refused(count, chosen):
  with pytest.raises(ValueError, match=str(count)):
    suggest.choose(np.zeros((3, 2)), count, chosen=chosen)
