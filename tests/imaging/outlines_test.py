"""Polygons, boxes and landmarks against Matplotlib, SciPy and hand counts."""

import matplotlib.path
import numpy as np
import pytest
from scipy import ndimage

from apppau_jax.imaging import outlines

SIZE = (40, 50)
ROWS, COLUMNS = np.indices(SIZE)


def _inside(corners, *, shift):
  """Pixels whose centre lies inside, by Matplotlib."""
  centres = np.stack([COLUMNS.ravel() + shift, ROWS.ravel() + shift], axis=1)
  path = matplotlib.path.Path([*corners, corners[0]], closed=True)
  return path.contains_points(centres).reshape(SIZE)


def _star(seed):
  """A simple polygon around the middle, its corners off the grid."""
  rng = np.random.default_rng(seed)
  angles = np.sort(rng.uniform(0, 2 * np.pi, 12))
  radii = rng.uniform(4, 18, 12)
  return np.stack(
    [25.2 + radii * np.cos(angles), 20.1 + radii * np.sin(angles)], axis=1
  )


@pytest.mark.parametrize("seed", range(8))
def test_area_has_the_pixels_whose_centres_lie_inside(seed):
  corners = _star(seed)
  np.testing.assert_array_equal(
    outlines.fill_area(corners, SIZE), _inside(corners, shift=0.5)
  )


@pytest.mark.parametrize("seed", range(8))
def test_contour_has_its_inside_and_its_outline(seed):
  corners = np.trunc(_star(seed))
  filled = outlines.fill_contour(corners, SIZE)
  inside = _inside(corners, shift=0.0)
  assert (filled | ~inside).all()
  x, y = corners.astype(int).T
  assert filled[y, x].all()
  # Nothing lies further from the inside than the outline's own pixels.
  near = ndimage.binary_dilation(inside, np.ones((3, 3), bool), iterations=2)
  lines = np.zeros(SIZE, bool)
  for a, b in zip(corners, np.roll(corners, -1, axis=0)):
    for step in np.linspace(0, 1, 200):
      px, py = a + step * (b - a)
      lines[round(py), round(px)] = True
  assert not (filled & ~near & ~ndimage.binary_dilation(lines)).any()


def test_shapes_by_hand():
  square = [[2, 1], [5, 1], [5, 4], [2, 4]]
  assert outlines.fill_area(square, SIZE).sum() == 3 * 3
  assert outlines.fill_contour(square, SIZE).sum() == 4 * 4
  assert outlines.fill_boxes([[2, 1, 5, 4]], SIZE).sum() == 3 * 3
  np.testing.assert_array_equal(
    outlines.fill_area(square, SIZE),
    (ROWS >= 1) & (ROWS < 4) & (COLUMNS >= 2) & (COLUMNS < 5),
  )


@pytest.mark.parametrize(
  ("points", "pixels"),
  [
    ([[3, 4]], [(3, 4)]),
    ([[3, 4], [3, 4]], [(3, 4)]),
    ([[3.9, 4.9]], [(3, 4)]),
    ([[3, 4], [5, 4]], [(3, 4), (4, 4), (5, 4)]),
    ([[3, 4], [5, 4], [4, 4]], [(3, 4), (4, 4), (5, 4)]),
  ],
)
def test_contour_without_area_is_its_pixels(points, pixels):
  filled = outlines.fill_contour(points, SIZE)
  assert sorted(zip(*np.nonzero(filled.T))) == sorted(pixels)


def test_whole_image():
  h, w = SIZE
  assert outlines.fill_boxes([[0, 0, w, h]], SIZE).all()
  assert outlines.fill_area([[0, 0], [w, 0], [w, h], [0, h]], SIZE).all()
  corners = [[0, 0], [w - 1, 0], [w - 1, h - 1], [0, h - 1]]
  assert outlines.fill_contour(corners, SIZE).all()


def test_boxes_are_united_and_may_touch_the_next_pixel():
  boxes = [[-1, -0.5, 1.4, 1], [1.6, 0, 3, 2]]
  np.testing.assert_array_equal(
    outlines.fill_boxes(boxes, (3, 4)).astype(int),
    [[1, 0, 1, 0], [0, 0, 1, 0], [0, 0, 0, 0]],
  )
  assert not outlines.fill_boxes([], (3, 4)).any()


@pytest.mark.parametrize("fill", [outlines.fill_area, outlines.fill_contour])
@pytest.mark.parametrize(
  "points",
  [
    [],
    [[1, 1], [1, 2], [1]],
    [[1, 1], [1, 2], [float("nan"), 1]],
    [[1, 1], [1, 2], [float("inf"), 1]],
    [[1, 1], [52, 2], [1, 3]],
    [[1, 1], [1, -2], [1, 3]],
    [[1, 1]] * (outlines.MAX_POINTS + 1),
  ],
)
def test_other_points_are_refused(fill, points):
  with pytest.raises(ValueError, match="point"):
    fill(points, SIZE)


def test_two_corners_are_no_area():
  with pytest.raises(ValueError, match="2 corners"):
    outlines.fill_area([[1, 1], [2, 2]], SIZE)


@pytest.mark.parametrize(
  ("box", "reason"),
  [
    ([1, 2, 1, 5], "no area"),
    ([4, 2, 1, 5], "no area"),
    ([1, 2, 3], "3 numbers"),
    ([1, 2, 3, 42], "not on the 50x40"),
  ],
)
def test_other_boxes_are_refused(box, reason):
  with pytest.raises(ValueError, match=reason):
    outlines.fill_boxes([box], SIZE)


@pytest.mark.parametrize(
  "text",
  ["[[1, 2], [3.5, 4]]", "[[1 2]\n [3.5 4]]", "[1. 2. 3.5 4. ]", "[1,2,3.5,4]"],
)
def test_landmarks_as_json_or_numpy_writes_them(text):
  points = outlines.read_points(text, count=2)
  np.testing.assert_array_equal(points, [[1, 2], [3.5, 4]])


@pytest.mark.parametrize(
  "text",
  [
    "", "[[1, 2]]", "[[1, 2], [3, 4], [5, 6]]", "[[1, 2], [x, 4]]",
    "[[1, 2], [3, 4e]]", "1 2 3 4", "[" * 500, "__import__('os')",
  ],
)  # fmt: skip
def test_other_landmarks_are_refused(text):
  with pytest.raises(ValueError, match=r"points|numbers"):
    outlines.read_points(text, count=2)


def test_landmarks_of_chexmask_divide_120_points():
  ranges = outlines.CHEXMASK_LANDMARKS.values()
  assert [i for numbers in ranges for i in numbers] == [*range(120)]
