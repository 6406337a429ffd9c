"""The KL terms against the published equation and its biases."""

import functools
import math

import jax
import numpy as np
import pytest
from scipy import special

from apppau_jax.losses import (
  kl_divergence_loss,
  kl_tversky_loss,
  tversky_loss,
)

both = functools.partial(kl_divergence_loss, kl_channels="both")
roi = functools.partial(kl_divergence_loss, kl_channels="roi")


def _pixel(value):
  return np.float32(value).reshape(1, 1, 1, 1)


@pytest.mark.parametrize(
  ("loss", "eps", "prob", "lung", "expected"),
  [
    # A false positive, then the false negative that mirrors it.
    (roi, 1e-7, 0.9, 0, 14.41),
    (roi, 1e-7, 0.1, 1, 2.07),
    (roi, 1e-3, 0.9, 0, 6.12),
    (both, 1e-3, 0.9, 0, 8.18),
    (both, 1e-3, 0.1, 1, 8.18),
    (both, 1e-3, 0.5, 0, 3.45),
    (both, 1e-3, 0.5, 1, 3.45),
    # y_e = 1/4, p = 3/4: (1/4 - 3/4) (log 1/3 - log 3) = log 3; roi: half.
    (both, 0.25, 0.75, 0, math.log(3)),
    (roi, 0.25, 0.75, 0, math.log(3) / 2),
    (both, 0.25, 0.25, 1, math.log(3)),
    (roi, 0.25, 0.25, 1, math.log(3) / 2),
  ],
)
def test_costs_of_one_pixel(loss, eps, prob, lung, expected):
  logit = _pixel(special.logit(prob))
  actual = loss(logit, _pixel(lung), kl_eps=eps)
  np.testing.assert_allclose(actual, [expected], atol=0.006)


def _slope(loss, logit, lung):
  return jax.grad(lambda s: loss(s, _pixel(lung))[0])(_pixel(logit)).item()


@pytest.mark.parametrize(
  ("loss", "eps", "threshold"),
  [(roi, 1e-7, 0.907), (roi, 1e-3, 0.81), (both, 1e-7, 0.5), (both, 1e-3, 0.5)],
)
def test_share_of_lung_from_which_an_ambiguous_pixel_is_lung(
  loss, eps, threshold
):
  # There the expected slope at p = 1/2 changes its sign.
  up, down = (
    _slope(functools.partial(loss, kl_eps=eps), 0, lung) for lung in (0, 1)
  )
  np.testing.assert_allclose(up / (up - down), threshold, atol=5e-4)


@pytest.mark.parametrize("loss", [both, roi])
def test_the_absolute_value_of_the_paper_does_nothing(loss):
  probs = np.linspace(0.01, 0.99, 99)
  prob, lung = np.meshgrid(probs, np.linspace(0, 1, 11))
  pixels = np.stack([special.logit(prob), lung]).reshape(2, -1, 1, 1, 1)
  # One pixel an example, so that no sign can hide in a mean.
  assert np.all(loss(*pixels) >= -1e-7)
  y, p = np.clip(lung, 1e-3, 1 - 1e-3), prob
  literal = np.abs((y - p) * np.log(y / p))
  if loss is both:
    literal += np.abs((p - y) * np.log((1 - y) / (1 - p)))
  np.testing.assert_allclose(
    loss(*pixels), literal.ravel(), rtol=1e-4, atol=1e-6
  )


@pytest.mark.parametrize("eps", [1e-3, 1e-7, 1e-12])
@pytest.mark.parametrize("lung", [0, 1])
def test_saturated_pixels_in_closed_form(lung, eps):
  logit = np.array([-1e4, -700, -50, -3, 0, 3, 50, 700, 1e4])
  pixels = np.float32(logit).reshape(-1, 1, 1, 1)
  mask = np.full_like(pixels, lung)
  # Mirrored so that the target is eps; log p and p in float64.
  sign = 1 - 2 * lung
  prob = special.expit(sign * logit)
  log_odds = math.log(eps) - math.log1p(-eps)
  np.testing.assert_allclose(
    both(pixels, mask, kl_eps=eps),
    (eps - prob) * (log_odds - sign * logit),
    rtol=1e-5,
  )
  log_target = math.log1p(-eps) if lung else math.log(eps)
  np.testing.assert_allclose(
    roi(pixels, mask, kl_eps=eps),
    sign * (eps - prob) * (log_target - special.log_expit(logit)),
    rtol=1e-5,
    atol=1e-12,
  )


@pytest.mark.parametrize("level", [20, 1e4])
def test_only_the_literal_form_ignores_confident_false_positives(level):
  for loss, lung, expected in (
    (both, 0, 0.999),
    (both, 1, -0.999),
    (roi, 0, 0),
    (roi, 1, -0.999),
  ):
    logit = -level if lung else level
    actual = _slope(loss, logit, lung)
    np.testing.assert_allclose(actual, expected, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("lung", [0, 0.2, 0.5, 0.8, 1])
@pytest.mark.parametrize("loss", [both, roi])
def test_is_zero_where_the_prediction_is_the_smoothed_target(loss, lung):
  logits = np.linspace(-9, 9, 1801, dtype=np.float32).reshape(-1, 1, 1, 1)
  values = loss(logits, np.full_like(logits, lung), kl_eps=0.01)
  best = logits[np.argmin(values), 0, 0, 0]
  target = min(max(lung, 0.01), 0.99)
  np.testing.assert_allclose(best, special.logit(target), atol=0.011)
  np.testing.assert_allclose(np.min(values), 0, atol=1e-5)


def test_by_default_both_terms_weigh_what_the_cross_entropy_weighs():
  # p = 1/2, a quarter of lung: 0.2 * 3.45 + 8/13, and 0.2 * 3.45 = ln 2.
  mask = np.zeros((1, 8, 8, 1), np.float32)
  mask[:, :4, :4] = 1
  actual = kl_tversky_loss(np.zeros_like(mask), mask)
  np.testing.assert_allclose(actual, [0.2 * 3.4464 + 8 / 13], rtol=1e-4)
  np.testing.assert_allclose(actual, [math.log(2) + 8 / 13], atol=0.005)


def test_empty_mask_is_learnt_from_the_kl_term():
  mask = np.zeros((1, 4, 4, 1), np.float32)
  slope = jax.jit(jax.grad(lambda s: kl_tversky_loss(s, mask)[0]))(mask)
  assert np.all(slope > 0.01)
  overlap = jax.jit(jax.grad(lambda s: tversky_loss(s, mask)[0]))(mask)
  assert np.all(np.abs(overlap) < 1e-6)


@pytest.mark.parametrize("loss", [kl_divergence_loss, kl_tversky_loss])
def test_options_out_of_range(loss):
  operands = _pixel(0), _pixel(1)
  for channels in ("background", "ROI", "", None):
    with pytest.raises(ValueError, match=r"'both'.*'roi'"):
      loss(*operands, kl_channels=channels)
  for eps in (0, -1e-3, 0.5, 1e-40, math.nan):
    with pytest.raises(ValueError, match=f"kl_eps={eps}"):
      loss(*operands, kl_eps=eps)
