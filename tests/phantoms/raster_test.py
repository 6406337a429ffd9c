"""The rasteriser against closed forms and scikit-image."""

import numpy as np
import pytest
from skimage import draw

from apppau_jax.phantoms import raster

ONE = np.ones(1)


def star(points=11):
  """A star-shaped outline inside a 60 x 50 image; rows are (x, y)."""
  angle = np.linspace(0, 2 * np.pi, points, endpoint=False)
  radius = np.where(np.arange(points) % 2, 9.3, 22.1)
  unit = np.stack([np.cos(angle), np.sin(angle)], axis=-1)
  return (24.6, 27.7) + radius[:, None] * unit


def test_fill_is_the_covered_area_of_every_pixel():
  box = np.array([(0.5, 1.0), (2.75, 1.0), (2.75, 2.5), (0.5, 2.5)])
  expected = [[0, 0, 0, 0], [0.5, 1, 0.75, 0], [0.25, 0.5, 0.375, 0]]
  filled = raster.fill([(box[None], ONE)], size=(3, 4))
  np.testing.assert_allclose(filled, expected, atol=1e-6)


@pytest.mark.parametrize("lines", [2, 4])
def test_fill_sums_to_the_area(lines):
  filled = raster.fill([(star()[None], ONE)], size=(60, 50), lines=lines)
  assert filled.sum() == pytest.approx(raster.area(star()), rel=3e-3)
  assert filled.min() > -1e-6
  assert filled.max() < 1 + 1e-6


def test_fill_takes_either_orientation_and_adds_weights():
  size = (60, 50)
  one = raster.fill([(star()[None], ONE)], size=size)
  both = raster.fill(
    [(np.stack([star(), star()[::-1]]), np.array([2.0, -0.5]))], size=size
  )
  np.testing.assert_allclose(both, 1.5 * one, atol=1e-5)


def test_outlines_may_leave_the_image():
  small = raster.fill([(star()[None] - (20, 20), ONE)], size=(20, 12))
  large = raster.fill([(star()[None], ONE)], size=(60, 50))
  np.testing.assert_allclose(small, large[20:40, 20:32], atol=1e-5)
  assert not raster.inside(star() + 100, size=(60, 50)).any()


def test_inside_agrees_with_scikit_image():
  ours = raster.inside(star(), size=(60, 50))
  # scikit-image's pixel centres have whole coordinates, rows first.
  theirs = draw.polygon2mask((60, 50), star()[:, ::-1] - 0.5)
  # Only pixels that the edge halves may differ.
  assert (ours ^ theirs).sum() <= 0.03 * theirs.sum()
  assert ours.sum() == pytest.approx(raster.area(star()), rel=0.01)
  triangle = np.array([(1.0, 1.0), (4.0, 1.0), (1.0, 9.0)])
  for outline in (triangle, triangle[::-1]):
    assert raster.area(outline) == pytest.approx(12)


def test_stencil_is_a_window_of_fill():
  window, part = raster.stencil([(star()[None] + (20, 9), ONE)], size=(60, 50))
  whole = raster.fill([(star()[None] + (20, 9), ONE)], size=(60, 50))
  np.testing.assert_allclose(part, whole[window], atol=1e-5)
  assert part.sum() == pytest.approx(whole.sum(), rel=1e-5)
  assert part.size < whole.size


def test_spline_passes_through_its_points():
  points = np.array([(0, 0), (3, 1), (4, 5), (-2, 7)], np.float64)
  curve = raster.spline(points, samples=5)
  assert curve.shape == (16, 2)
  np.testing.assert_allclose(curve[::5], points, atol=1e-12)
  line = raster.spline([(0, 0), (1, 2), (2, 4)])
  np.testing.assert_allclose(line[:, 1], 2 * line[:, 0], atol=1e-12)


def test_ribbons_have_the_given_width():
  path = np.stack([np.linspace(0, 8, 5), np.linspace(0, 6, 5)], axis=-1)
  outline = raster.ribbons(path[None], 3.0)
  assert outline.shape == (1, 10, 2)
  assert raster.area(outline[0]) == pytest.approx(3 * 10)
  taper = raster.ribbons(path[None], np.array([[0, 1, 2, 3, 4.0]]))
  assert raster.area(taper[0]) == pytest.approx(2 * 10)


def test_rings_are_regular_polygons():
  outline = raster.rings(np.array([[5.0, 6.0]]), np.array([2.0]), points=64)
  exact = 0.5 * 64 * 4 * np.sin(2 * np.pi / 64)
  assert raster.area(outline[0]) == pytest.approx(exact)
  np.testing.assert_allclose(outline[0].mean(axis=0), [5, 6])


def test_enlarge_keeps_a_ramp():
  field = np.tile(np.arange(8.0), (4, 1))
  large = raster.enlarge(field, size=(12, 32))
  inner = (np.arange(32) + 0.5) / 4 - 0.5
  assert large.dtype == np.float32
  np.testing.assert_allclose(large[5, 8:-8], inner[8:-8], atol=1e-3)
