import hypothesis
import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
from scipy.spatial.distance import cdist
from sklearn import metrics as sklearn_metrics

from apppau_jax.metrics import masks
from apppau_jax.metrics.paper_compat import paper_compat

KEYS = [
  "js_pixel_accuracy",
  "ds_from_accuracy",
  "sensitivity_background",
  "specificity_background",
  "precision_background",
  "recall_background",
  "f1_background",
  "hausdorff_rows",
]
few = hypothesis.settings(max_examples=30, derandomize=True, deadline=None)
stacks = hnp.arrays(bool, (3, 8, 10))


def columns(*, lung: int, found: int, extra: int) -> tuple:
  """Full-height strips in [1, 100, 200]: widths of lung, hit and false lung."""
  mask, prediction = np.zeros((2, 1, 100, 200), bool)
  mask[..., :lung] = True
  prediction[..., :found] = True
  prediction[..., 200 - extra :] = True
  return prediction, mask


@few
@hypothesis.given(stacks, stacks)
def test_pooled_ratios_match_scikit_learn_with_background_positive(a, b):
  hypothesis.assume(a.any() and b.any() and not (a.all() or b.all()))
  got = paper_compat(a, b)
  truth, guess = b.ravel(), a.ravel()
  background = {"pos_label": False}
  recall = sklearn_metrics.recall_score(truth, guess, **background)
  accuracy = sklearn_metrics.accuracy_score(truth, guess)
  expected = {
    "js_pixel_accuracy": accuracy,
    "ds_from_accuracy": 2 * accuracy / (1 + accuracy),
    "sensitivity_background": recall,
    "specificity_background": sklearn_metrics.recall_score(truth, guess),
    "precision_background": sklearn_metrics.precision_score(
      truth, guess, **background
    ),
    "recall_background": recall,
    "f1_background": sklearn_metrics.f1_score(truth, guess, **background),
  }
  assert list(got) == KEYS
  assert {key: got[key] for key in expected} == pytest.approx(expected)


@few
@hypothesis.given(stacks, stacks)
def test_rows_distance_matches_brute_force_from_mask_to_prediction(a, b):
  expected = np.mean(
    [
      cdist(mask.astype(float), prediction.astype(float)).min(axis=1).max()
      for prediction, mask in zip(a, b)
    ]
  )
  assert paper_compat(a, b)["hausdorff_rows"] == pytest.approx(expected)


def test_ratios_are_pooled_over_images_not_averaged():
  # One image without lung, called lung in half; one with lung only, found.
  mask = np.stack([np.zeros((4, 4), bool), np.ones((4, 4), bool)])
  prediction = mask.copy()
  prediction[0, :2] = True
  got = paper_compat(prediction, mask)
  assert got["js_pixel_accuracy"] == 24 / 32
  assert got["sensitivity_background"] == 8 / 16
  assert got["specificity_background"] == 1.0
  assert got["precision_background"] == 1.0
  assert got["f1_background"] == pytest.approx(2 / 3)


def test_the_papers_units_hide_missed_lungs():
  # Lungs a quarter of the film, 16 % of them found: "JS" 0.79, "DS" 0.88 as
  # in the semi-supervised Shenzhen row, where the lungs' Dice is 0.28.
  prediction, mask = columns(lung=50, found=8, extra=0)
  got = paper_compat(prediction, mask)
  assert got["js_pixel_accuracy"] == pytest.approx(0.79)
  assert got["ds_from_accuracy"] == pytest.approx(0.8827, abs=1e-4)
  assert got["sensitivity_background"] == 1.0
  assert got["specificity_background"] == pytest.approx(0.16)
  of_lungs = masks.segmentation_metrics(prediction[0], mask[0])
  assert of_lungs["dice"] == pytest.approx(16 / 58)
  assert of_lungs["sensitivity"] == got["specificity_background"]


def test_rows_distance_is_directed_from_the_mask():
  # Every row of the mask recurs in the prediction, but not the reverse.
  mask = np.zeros((1, 6, 6), bool)
  prediction = mask.copy()
  prediction[0, 2, :4] = True
  assert paper_compat(prediction, mask)["hausdorff_rows"] == 0.0
  assert paper_compat(mask, prediction)["hausdorff_rows"] == 2.0


def test_rows_distance_is_a_mean_over_images():
  # All rows of an image are alike and differ in 16 and in 49 pixels.
  one = columns(lung=50, found=50, extra=16)
  other = columns(lung=50, found=8, extra=7)
  pair = (np.concatenate(arrays) for arrays in zip(one, other))
  assert paper_compat(*pair)["hausdorff_rows"] == pytest.approx((4 + 7) / 2)


@pytest.mark.parametrize(
  ("predicted", "true", "expected"),
  [
    (True, True, [1, 1, 1, 1, 1]),  # no background at all, none claimed
    (True, False, [0, 1, 0, 0, 0]),  # no lung to find: specificity 1
    (False, True, [0, 0, 0, 0, 0]),  # background claimed, none there
    (False, False, [1, 1, 1, 1, 1]),
  ],
)
def test_constant_masks_are_defined(predicted, true, expected):
  shape = (2, 4, 9)
  got = paper_compat(np.full(shape, predicted), np.full(shape, true))
  assert [got[key] for key in KEYS[2:7]] == expected
  assert got["js_pixel_accuracy"] == float(predicted == true)
  assert got["hausdorff_rows"] == (0.0 if predicted == true else 3.0)


@pytest.mark.parametrize("shape", [(8, 8), (0, 8, 8), (2, 8, 8, 1)])
def test_anything_but_a_stack_of_masks_is_refused(shape):
  with pytest.raises(ValueError, match="3 axes"):
    paper_compat(np.zeros(shape, bool), np.zeros(shape, bool))
