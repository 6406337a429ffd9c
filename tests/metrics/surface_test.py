import math

import hypothesis
import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
from hypothesis import strategies as st
from scipy.spatial.distance import cdist
from skimage.segmentation import find_boundaries

from apppau_jax.metrics import surface

few = hypothesis.settings(max_examples=40, derandomize=True, deadline=None)
masks = hnp.arrays(bool, (9, 12))
spacings = st.sampled_from([1.0, 0.35, (2.0, 0.5), (0.7, 1.1)])


def box(*, top: int, left: int, height: int, width: int) -> np.ndarray:
  mask = np.zeros((40, 48), bool)
  mask[top : top + height, left : left + width] = True
  return mask


def edge_by_definition(mask: np.ndarray) -> np.ndarray:
  """[k, 2] pixels of the mask that have a 4-neighbour outside it."""
  on = {(int(y), int(x)) for y, x in np.argwhere(mask)}
  edge = [
    (y, x)
    for y, x in sorted(on)
    if not {(y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1)} <= on
  ]
  return np.array(edge, float)


def by_brute_force(prediction, mask, spacing) -> dict[str, float]:
  scale = np.broadcast_to(np.asarray(spacing, float), (2,))
  table = cdist(
    edge_by_definition(prediction) * scale, edge_by_definition(mask) * scale
  )
  forth, back = table.min(axis=1), table.min(axis=0)
  return {
    "hausdorff": max(forth.max(), back.max()),
    "hausdorff95": max(np.percentile(forth, 95), np.percentile(back, 95)),
    "average_hausdorff": max(forth.mean(), back.mean()),
    "assd": (forth.sum() + back.sum()) / (len(forth) + len(back)),
  }


@few
@hypothesis.given(masks)
def test_boundary_matches_scikit_image(mask):
  padded = find_boundaries(np.pad(mask, 1), connectivity=1, mode="inner")
  np.testing.assert_array_equal(surface.boundary(mask), padded[1:-1, 1:-1])


@few
@hypothesis.given(masks, masks, spacings)
def test_distances_match_brute_force(prediction, mask, spacing):
  hypothesis.assume(prediction.any() and mask.any())
  got = surface.surface_distances(prediction, mask, spacing=spacing)
  assert got == pytest.approx(by_brute_force(prediction, mask, spacing))
  assert list(got) == list(surface.DISTANCES)
  back = surface.surface_distances(mask, prediction, spacing=spacing)
  assert got == pytest.approx(back)


def test_a_line_against_its_end_point_tells_the_four_definitions_apart():
  # A is 11 pixels in a row, B its first pixel. From A: 0, 1, ..., 10, from B:
  # 0. Pooling would give a 95th percentile of 9.45 and an average of 55 / 12.
  line = box(top=20, left=3, height=1, width=11)
  point = box(top=20, left=3, height=1, width=1)
  assert surface.surface_distances(line, point) == pytest.approx(
    {
      "hausdorff": 10.0,
      "hausdorff95": 9.5,
      "average_hausdorff": 5.0,
      "assd": 55 / 12,
    }
  )


@pytest.mark.parametrize(
  ("shift", "spacing", "expected"),
  [
    ((0, 4), 1.0, 4.0),
    ((3, 3), 1.0, 3 * math.sqrt(2)),
    ((3, 0), (2.0, 0.5), 6.0),
    ((0, 3), (2.0, 0.5), 1.5),
    ((2, 3), (1.5, 1.0), 3 * math.sqrt(2)),
  ],
)
def test_hausdorff_of_shifted_squares_is_the_shift(shift, spacing, expected):
  square = box(top=10, left=10, height=14, width=14)
  moved = box(top=10 + shift[0], left=10 + shift[1], height=14, width=14)
  got = surface.surface_distances(square, moved, spacing=spacing)
  assert got["hausdorff"] == pytest.approx(expected)


@few
@hypothesis.given(masks, masks, st.integers(0, 9), st.integers(0, 9))
def test_distances_ignore_where_in_the_frame_the_masks_lie(a, b, down, right):
  hypothesis.assume(a.any() and b.any())
  pad = ((down, 9 - down), (right, 9 - right))
  moved = surface.surface_distances(np.pad(a, pad), np.pad(b, pad))
  assert moved == pytest.approx(surface.surface_distances(a, b))


@few
@hypothesis.given(masks, masks, st.sampled_from([0.14, 0.175, 3.0]))
def test_distances_scale_with_the_spacing_and_transpose_with_it(a, b, size):
  pixels = surface.surface_distances(a, b)
  scaled = surface.surface_distances(a, b, spacing=size)
  assert scaled == pytest.approx({k: size * v for k, v in pixels.items()})
  forth = surface.surface_distances(a, b, spacing=(1.0, size))
  assert forth == pytest.approx(
    surface.surface_distances(a.T, b.T, spacing=(size, 1.0))
  )


@pytest.mark.parametrize(
  ("spacing", "diagonal"), [(1.0, 50.0), (0.5, 25.0), ((2.0, 0.75), 67.0820393)]
)
def test_one_empty_mask_costs_the_image_diagonal(spacing, diagonal):
  empty, lung = np.zeros((30, 40), bool), np.zeros((30, 40), bool)
  lung[3:9, 4:8] = True
  for pair in ((empty, lung), (lung, empty)):
    got = surface.surface_distances(*pair, spacing=spacing)
    assert got == pytest.approx(dict.fromkeys(surface.DISTANCES, diagonal))
  for mask in (empty, lung):
    got = surface.surface_distances(mask, mask, spacing=spacing)
    assert got == dict.fromkeys(surface.DISTANCES, 0.0)


def test_a_missed_mask_is_worse_than_the_farthest_corner():
  corners = np.zeros((2, 30, 40), bool)
  corners[0, 0, 0] = corners[1, -1, -1] = True
  farthest = surface.hausdorff(*corners)
  assert farthest == pytest.approx(math.hypot(29, 39))
  assert surface.hausdorff(corners[0] & False, corners[1]) > farthest


@pytest.mark.parametrize(
  "spacing", [0.0, -1.0, math.nan, math.inf, (1.0, 0.0), (1.0, 1.0, 1.0), ()]
)
def test_an_impossible_spacing_is_refused(spacing):
  mask = np.eye(12, dtype=bool)
  with pytest.raises(ValueError, match="spacing"):
    surface.surface_distances(mask, mask, spacing=spacing)


def test_binary_pair_takes_zeros_and_ones_of_any_type_and_nothing_else():
  mask = np.eye(4, dtype=np.uint8)
  pair = surface.binary_pair(mask.astype(np.float32), mask, ndim=2)
  assert [array.dtype for array in pair] == [bool, bool]
  np.testing.assert_array_equal(pair[0], np.eye(4) == 1)
  for wrong in (mask * 255, mask * 0.7, mask * math.nan):
    with pytest.raises(ValueError, match="prediction must hold only 0 and 1"):
      surface.binary_pair(wrong, mask, ndim=2)
    with pytest.raises(ValueError, match="mask must hold only 0 and 1"):
      surface.binary_pair(mask, wrong, ndim=2)


@pytest.mark.parametrize(
  ("one", "other"),
  [((4, 4), (4, 5)), ((4, 4, 1), (4, 4, 1)), ((0, 4), (0, 4)), ((4,), (4,))],
)
def test_binary_pair_refuses_other_shapes(one, other):
  with pytest.raises(ValueError, match="one shape with 2 axes"):
    surface.binary_pair(np.zeros(one), np.zeros(other), ndim=2)
