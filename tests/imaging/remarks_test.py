"""Remarks on phantoms as they are, turned, inverted, cut and dark."""

import numpy as np
import pytest

from apppau_jax.imaging import remarks, view
from apppau_jax.imaging.film import Film
from apppau_jax.phantoms import make_phantom

FILMS = [make_phantom(seed=2, index=i, size=(256, 220)) for i in range(6)]


@pytest.mark.parametrize("film", FILMS)
def test_upright_films_have_no_remark(film):
  lungs = film.left_lung | film.right_lung
  assert remarks.on_image(Film(film.image)) == ()
  assert remarks.on_lungs(film.image, lungs) == ()


@pytest.mark.parametrize("film", FILMS)
@pytest.mark.parametrize("bits", [8, 16])
def test_other_views_are_recognised(film, bits):
  image = film.image if bits == 8 else film.image.astype(np.uint16) * 257
  assert view.describe(image) == ""
  assert view.doubt(image) < 0 < view.doubt(image[::-1])
  assert view.describe(image[::-1]) == "upside down"
  assert view.describe(~image) == view.NEGATIVE
  assert view.describe(~image[::-1]) == "a negative upside down"
  assert view.describe(np.rot90(image)) == "rotated by 90 degrees"
  assert view.describe(~np.rot90(image, 3)).endswith("rotated by 90 degrees")
  quarter = image[: len(image) // 2, : image.shape[1] // 2]
  assert "cropped" in view.describe(quarter) or view.doubt(quarter) > 0
  assert view.describe(np.zeros_like(image)) == ""
  (remark,) = remarks.on_image(Film(image[::-1]))
  assert "upside down" in remark


def test_gradients_by_hand():
  """A ramp to the right has one direction; brightness does not matter."""
  ramp = np.tile(np.arange(64, dtype=np.uint8), (64, 1))
  found = view.features(ramp).reshape(8, 8, 8)
  np.testing.assert_allclose(found[..., 0], 1 / 8, rtol=1e-5)
  assert not found[..., 1:].any()
  up = view.features(ramp.T[::-1]).reshape(8, 8, 8)
  np.testing.assert_allclose(up[..., 6], 1 / 8, rtol=1e-5)
  np.testing.assert_allclose(
    view.features(3 * ramp + 9), view.features(ramp), rtol=1e-5
  )


def test_noise_is_no_chest_film():
  noise = np.random.default_rng(0).integers(0, 256, (96, 96), np.uint8)
  assert view.describe(noise) == "no chest film"


@pytest.mark.parametrize(
  ("image", "words"),
  [
    (FILMS[0].image // 16, ["16 grey levels"]),
    (np.where(FILMS[0].image > 99, 255, 0).astype(np.uint8), ["100%"]),
    (FILMS[0].image[:2, :2], ["2x2"]),
    (np.tile(FILMS[0].image[100:150], (1, 12)), ["2640x50"]),
  ],
)
def test_what_shows_little_has_a_remark(image, words):
  found = " ".join(remarks.on_image(Film(image)))
  assert all(word in found for word in words)


def test_remarks_on_lungs():
  film = FILMS[1]
  lungs = film.left_lung | film.right_lung
  (remark,) = remarks.on_lungs(film.image, np.zeros_like(lungs))
  assert "0.0%" in remark
  (remark,) = remarks.on_lungs(~film.image, lungs)
  assert "not darker" in remark
  few = lungs.copy()
  few[: int(np.median(np.flatnonzero(lungs.any(axis=1))))] = False
  few[:, : int(0.4 * lungs.shape[1])] = False
  assert 0.05 < few.mean() < 0.10
  assert any(
    f"{few.mean():.1%}" in r for r in remarks.on_lungs(film.image, few)
  )


def test_remarks_of_the_header_come_first():
  film = Film(FILMS[0].image[::-1], ("A header.",))
  assert remarks.on_image(film)[0] == "A header."
