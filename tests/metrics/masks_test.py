import math

import hypothesis
import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
from hypothesis import strategies as st
from scipy import ndimage
from skimage.measure import label, regionprops
from sklearn import metrics as sklearn_metrics

from apppau_jax import metrics as public
from apppau_jax.metrics import masks as metrics
from apppau_jax.metrics import surface

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


def test_hand_counted_overlap_in_the_agreed_order():
  # tp 6, fp 2, fn 4, tn 132 on 12 x 12.
  mask, prediction = np.zeros((12, 12), bool), np.zeros((12, 12), bool)
  mask[3, :10] = prediction[3, :6] = prediction[8, 2:4] = True
  got = metrics.segmentation_metrics(prediction, mask)
  assert list(got) == KEYS
  assert {type(value) for value in got.values()} == {float}
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
  accuracy = metrics.overlap_metrics(prediction, mask)["accuracy"]
  assert accuracy == pytest.approx(138 / 144)


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
def test_ranges_and_the_exchange_of_prediction_and_mask(a, b):
  forth = metrics.segmentation_metrics(a, b)
  back = metrics.segmentation_metrics(b, a)
  tied = 2 * forth["jaccard"] / (1 + forth["jaccard"])
  assert forth["dice"] == pytest.approx(tied)
  assert all(math.isfinite(value) for value in forth.values())
  for key in set(KEYS) - {"ssim", *surface.DISTANCES}:
    assert 0 <= forth[key] <= 1
  assert -1 <= forth["ssim"] <= 1
  for key in ("dice", "jaccard", "ssim", "f1", *surface.DISTANCES):
    assert forth[key] == pytest.approx(back[key]), key
  assert forth["precision"] == back["recall"] == back["sensitivity"]


@pytest.mark.parametrize("mask", [lungs(), np.zeros((16, 16), bool)])
def test_equal_masks_are_a_perfect_prediction(mask):
  got = metrics.segmentation_metrics(mask, mask)
  perfect = {key: 0.0 if key in surface.DISTANCES else 1.0 for key in KEYS}
  assert got == pytest.approx(perfect)


def test_distances_are_those_of_the_surface_module_in_its_spacing():
  prediction, mask = lungs(shift=3), lungs(height=30)
  got = metrics.segmentation_metrics(prediction, mask, spacing=(2.0, 0.5))
  expected = surface.surface_distances(prediction, mask, spacing=(2.0, 0.5))
  assert {key: got[key] for key in surface.DISTANCES} == expected


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
  full, half = np.ones((16, 16), bool), np.arange(256).reshape(16, 16) > 127
  got = metrics.segmentation_metrics(half, full)
  assert (got["specificity"], got["sensitivity"]) == (1.0, 0.5)
  # The whole image predicted as lung: specificity 0, not undefined.
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


@pytest.mark.parametrize(
  ("prediction", "mask", "match"),
  [
    (lungs() * 0.6, lungs(), "only 0 and 1"),
    (lungs()[:, :60], lungs(), "one shape"),
    (np.ones((10, 16)), np.ones((10, 16)), "11 x 11"),
    (np.ones((16, 10)), np.ones((16, 10)), "11 x 11"),
  ],
)
def test_unusable_masks_are_refused(prediction, mask, match):
  with pytest.raises(ValueError, match=match):
    metrics.segmentation_metrics(prediction, mask)


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
  mask = (lungs() | specks).astype(np.uint8)
  before = mask.copy()
  kept = metrics.keep_largest_components(mask)
  assert kept.dtype == bool
  np.testing.assert_array_equal(kept, lungs())
  np.testing.assert_array_equal(mask, before)
  wider = metrics.keep_largest_components(mask, count=1)
  np.testing.assert_array_equal(wider[:, 32:], lungs()[:, 32:])
  assert not wider[:, :32].any()
  assert not metrics.keep_largest_components(np.zeros((5, 5), bool)).any()


def test_of_equal_components_the_first_stay():
  mask = np.zeros((6, 6), bool)
  # Three components of two pixels; the first two touch at a corner only.
  mask[0, 4:6] = mask[1, 2:4] = mask[3, 0:2] = True
  kept = metrics.keep_largest_components(mask)
  np.testing.assert_array_equal(kept.sum(axis=1), [2, 2, 0, 0, 0, 0])


def test_keeping_no_component_is_refused():
  with pytest.raises(ValueError, match="at least 1"):
    metrics.keep_largest_components(lungs(), count=0)


class _Prediction:
  def __init__(self, mask):
    self.mask = mask


@pytest.mark.parametrize("wrap", [np.array, np.ndarray.tolist, _Prediction])
def test_public_functions_take_arrays_lists_and_predictions(wrap):
  prediction, mask = lungs(shift=3), lungs(height=30)
  expected = metrics.segmentation_metrics(prediction, mask)
  for name in ("dice", "jaccard", "ssim", "hausdorff", "hausdorff95", "assd"):
    assert getattr(public, name)(wrap(prediction), mask) == expected[name]
  stacked = wrap(np.stack([prediction, mask], -1))
  assert public.dice(stacked, np.stack([mask, mask], -1)) > expected["dice"]
  with pytest.raises(ValueError, match="one shape"):
    public.dice(wrap(prediction), mask[:5])
