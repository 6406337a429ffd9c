"""Remarks on phantoms as they are, turned, inverted, cut and dark."""

import numpy as np
import pytest

from apppau_jax.imaging import pose, remarks
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
def test_other_poses_are_recognised(film, bits):
  image = film.image if bits == 8 else film.image.astype(np.uint16) * 257
  assert pose.describe(image) == ""
  assert pose.describe(image[::-1]) == pose.UPENDED
  assert pose.describe(~image) == pose.NEGATIVE
  assert pose.describe(~image[::-1]) == pose.BOTH
  assert pose.describe(np.zeros_like(image)) == ""
  (remark,) = remarks.on_image(Film(image[::-1]))
  assert "upside down" in remark


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
