import math

import hypothesis
import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
from hypothesis import strategies as st
from scipy import ndimage
from skimage.measure import label, regionprops
from sklearn import metrics as sklearn_metrics

from apppau_jax.errors import ConfigError, DataError
from apppau_jax.metrics import masks as metrics
from apppau_jax.metrics import statistics, surface

KEYS = [
  "dice",
  "jaccard",
  "ssim",
  "f1",
  "hausdorff",
  "hausdorff95",
  "average_hausdorff",
  "assd",
  "sensitivity",
  "specificity",
  "precision",
  "recall",
]
few = hypothesis.settings(max_examples=30, derandomize=True, deadline=None)
masks = hnp.arrays(bool, (12, 14))


def lungs(*, shift: int = 0, height: int = 36) -> np.ndarray:
  """Two upright ellipses in 64 x 64."""
  y, x = np.mgrid[:64, :64]
  vertical = ((y - 32) / (height / 2)) ** 2
  left = vertical + ((x - 18 - shift) / 9) ** 2 <= 1
  right = vertical + ((x - 46 - shift) / 10) ** 2 <= 1
  return left | right


def gaussian_ssim(one: np.ndarray, other: np.ndarray) -> float:
  """Wang et al. 2004, eq. 13, from an explicit 11 x 11 window."""
  tap = np.exp(-0.5 * (np.arange(-5, 6) / 1.5) ** 2)
  window = np.outer(tap, tap) / np.outer(tap, tap).sum()

  def local_mean(image):
    return ndimage.correlate(image, window)[5:-5, 5:-5]

  x, y = one.astype(float), other.astype(float)
  mx, my = local_mean(x), local_mean(y)
  vx, vy = local_mean(x * x) - mx**2, local_mean(y * y) - my**2
  cov = local_mean(x * y) - mx * my
  c1, c2 = 0.01**2, 0.03**2
  top = (2 * mx * my + c1) * (2 * cov + c2)
  return float((top / ((mx**2 + my**2 + c1) * (vx + vy + c2))).mean())


def sklearn_overlap(prediction, mask) -> dict[str, float]:
  truth, guess = mask.ravel(), prediction.ravel()
  options = {"zero_division": 0.0}
  if not (truth | guess).any():
    options = {"zero_division": 1.0}
  recall = sklearn_metrics.recall_score(truth, guess, **options)
  dice = sklearn_metrics.f1_score(truth, guess, **options)
  jaccard = 1.0  # its zero_division takes 1.0 only with a warning
  if (truth | guess).any():
    jaccard = sklearn_metrics.jaccard_score(truth, guess)
  return {
    "dice": dice,
    "jaccard": jaccard,
    "f1": dice,
    "sensitivity": recall,
    "recall": recall,
    "specificity": sklearn_metrics.recall_score(
      truth, guess, pos_label=False, zero_division=1.0
    ),
    "precision": sklearn_metrics.precision_score(truth, guess, **options),
  }


def test_keys_come_in_the_agreed_order_as_python_floats():
  got = metrics.segmentation_metrics(lungs(shift=2), lungs())
  assert list(got) == KEYS
  assert {type(value) for value in got.values()} == {float}


def test_hand_counted_overlap():
  # tp 6, fp 2, fn 4, tn 132 on 12 x 12.
  mask, prediction = np.zeros((12, 12), bool), np.zeros((12, 12), bool)
  mask[3, :10] = True
  prediction[3, :6] = True
  prediction[8, 2:4] = True
  got = metrics.segmentation_metrics(prediction, mask)
  expected = {
    "dice": 12 / 18,
    "jaccard": 6 / 12,
    "f1": 12 / 18,
    "sensitivity": 6 / 10,
    "recall": 6 / 10,
    "specificity": 132 / 134,
    "precision": 6 / 8,
  }
  assert {key: got[key] for key in expected} == pytest.approx(expected)
  assert metrics.overlap_metrics(prediction, mask)["accuracy"] == pytest.approx(
    138 / 144
  )


@few
@hypothesis.given(masks, masks)
def test_overlap_matches_scikit_learn(prediction, mask):
  got = metrics.segmentation_metrics(prediction, mask)
  expected = sklearn_overlap(prediction, mask)
  assert {key: got[key] for key in expected} == pytest.approx(expected)
  assert metrics.overlap_metrics(prediction, mask)["accuracy"] == (
    sklearn_metrics.accuracy_score(mask.ravel(), prediction.ravel())
  )


@few
@hypothesis.given(masks, masks)
def test_dice_and_jaccard_are_tied_and_all_values_stay_in_range(a, b):
  got = metrics.segmentation_metrics(a, b)
  assert got["dice"] == pytest.approx(2 * got["jaccard"] / (1 + got["jaccard"]))
  assert all(math.isfinite(value) for value in got.values())
  for key in set(KEYS) - {"ssim", *surface.DISTANCES}:
    assert 0 <= got[key] <= 1
  assert -1 <= got["ssim"] <= 1


@few
@hypothesis.given(masks, masks)
def test_exchange_of_the_masks_exchanges_only_precision_and_recall(a, b):
  forth = metrics.segmentation_metrics(a, b)
  back = metrics.segmentation_metrics(b, a)
  for key in ("dice", "jaccard", "ssim", "f1", *surface.DISTANCES):
    assert forth[key] == pytest.approx(back[key]), key
  assert forth["precision"] == back["recall"] == back["sensitivity"]


def test_a_perfect_prediction():
  got = metrics.segmentation_metrics(lungs(), lungs())
  perfect = {key: 0.0 if key in surface.DISTANCES else 1.0 for key in KEYS}
  assert got == pytest.approx(perfect)


def test_distances_are_those_of_the_surface_module_in_its_spacing():
  prediction, mask = lungs(shift=3), lungs(height=30)
  got = metrics.segmentation_metrics(prediction, mask, spacing=(2.0, 0.5))
  expected = surface.surface_distances(prediction, mask, spacing=(2.0, 0.5))
  assert {key: got[key] for key in surface.DISTANCES} == expected


def test_both_masks_empty_is_a_perfect_answer():
  empty = np.zeros((16, 16), bool)
  got = metrics.segmentation_metrics(empty, empty)
  perfect = {key: 0.0 if key in surface.DISTANCES else 1.0 for key in KEYS}
  assert got == perfect


@pytest.mark.parametrize("missed", [True, False])
def test_one_empty_mask_is_wrong_in_every_overlap_and_never_nan(missed):
  empty, lung = np.zeros((30, 40), bool), np.zeros((30, 40), bool)
  lung[5:15, 5:25] = True
  pair = (empty, lung) if missed else (lung, empty)
  got = metrics.segmentation_metrics(*pair, spacing=2.0)
  zero = ("dice", "jaccard", "f1", "sensitivity", "precision", "recall")
  assert [got[key] for key in zero] == [0.0] * len(zero)
  assert [got[key] for key in surface.DISTANCES] == [100.0] * 4
  assert got["specificity"] == (1.0 if missed else 1 - 200 / 1200)
  assert 0 < got["ssim"] < 1


def test_specificity_without_a_negative_pixel_is_one():
  full = np.ones((16, 16), bool)
  half = full.copy()
  half[:8] = False
  got = metrics.segmentation_metrics(half, full)
  assert got["specificity"] == 1.0
  assert got["sensitivity"] == 0.5
  # The whole film called lung: specificity 0, not undefined.
  assert metrics.segmentation_metrics(full, half)["specificity"] == 0.0


@pytest.mark.parametrize("shift", [0, 1, 3, 8])
def test_ssim_matches_the_published_formula(shift):
  prediction = lungs(shift=shift, height=36 - shift)
  expected = gaussian_ssim(prediction, lungs())
  assert metrics.ssim(prediction, lungs()) == pytest.approx(expected, abs=1e-9)


def test_ssim_of_constant_images_has_a_closed_form():
  # Means 1 and 0, no variance: c1 / (1 + c1) with c1 = 0.0001.
  full, empty = np.ones((16, 16), bool), np.zeros((16, 16), bool)
  expected = 1e-4 / (1 + 1e-4)
  assert metrics.ssim(full, empty) == pytest.approx(expected, rel=1e-6)


def test_an_image_smaller_than_the_ssim_window_is_the_users_error():
  for shape in ((10, 16), (16, 10)):
    with pytest.raises(DataError, match="11 x 11"):
      metrics.segmentation_metrics(np.ones(shape), np.ones(shape))
  least = np.eye(11)
  assert metrics.segmentation_metrics(least, least)["ssim"] == pytest.approx(1)


def test_probabilities_and_unequal_shapes_are_refused():
  with pytest.raises(ValueError, match="only 0 and 1"):
    metrics.segmentation_metrics(lungs() * 0.6, lungs())
  with pytest.raises(ValueError, match="one shape"):
    metrics.segmentation_metrics(lungs()[:, :60], lungs())


@few
@hypothesis.given(masks, st.integers(1, 4))
def test_components_kept_are_the_largest_by_scikit_image(mask, count):
  got = metrics.keep_largest_components(mask, count=count)
  regions = regionprops(label(mask, connectivity=1))
  areas = sorted((r.num_pixels for r in regions), reverse=True)
  assert got.sum() == sum(areas[:count])
  assert not (got & ~mask).any()
  assert label(got, connectivity=1).max() == min(count, len(areas))


def test_two_lungs_survive_and_specks_do_not():
  specks = np.zeros((64, 64), bool)
  specks[1:3, 1:3] = specks[60, 30] = True
  kept = metrics.keep_largest_components(lungs() | specks)
  np.testing.assert_array_equal(kept, lungs())
  np.testing.assert_array_equal(metrics.keep_largest_components(kept), kept)


def test_ties_and_diagonal_neighbours_go_by_first_met():
  mask = np.zeros((6, 6), bool)
  mask[0, 4:6] = mask[1, 2:4] = mask[3, 0:2] = True  # the first two touch at
  # a corner only: three components of two pixels
  kept = metrics.keep_largest_components(mask)
  assert kept[0, 4:6].all()
  assert kept[1, 2:4].all()
  assert not kept[3].any()


def test_keep_largest_components_leaves_its_argument_and_empty_masks_alone():
  mask = lungs().astype(np.uint8)
  before = mask.copy()
  got = metrics.keep_largest_components(mask, count=1)
  assert got.dtype == bool
  np.testing.assert_array_equal(mask, before)
  assert got[:, 32:].any()  # the wider lung
  assert not got[:, :32].any()
  assert not metrics.keep_largest_components(np.zeros((5, 5), bool)).any()


def test_keeping_no_component_is_the_users_error():
  with pytest.raises(ConfigError, match="at least 1"):
    metrics.keep_largest_components(lungs(), count=0)


def test_summarise_is_offered_beside_the_metrics():
  assert metrics.summarise is statistics.summarise
  got = metrics.segmentation_metrics(lungs(), lungs(shift=1))
  assert list(metrics.summarise([got, got])) == KEYS
