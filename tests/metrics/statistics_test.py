"""Summaries over images, and the bootstrap behind all intervals."""

import json
import math
import statistics as standard

import numpy as np
import pytest
from scipy import stats

from apppau_jax.metrics import bootstrap, statistics


def rows(**columns) -> list[dict[str, float]]:
  return [
    dict(zip(columns, values)) for values in zip(*columns.values(), strict=True)
  ]


def skewed(n: int) -> list[float]:
  return np.random.default_rng(5).beta(12, 1, size=n).tolist()


def test_mean_and_sd_match_the_standard_library():
  dice, hausdorff = [0.9, 0.95, 0.7, 0.99], [3.0, 1.0, 11.0, 2.5]
  got = statistics.summarise(rows(dice=dice, hausdorff=hausdorff))
  assert json.loads(json.dumps(got)) == got
  assert list(got) == ["dice", "hausdorff"]
  for name, values in (("dice", dice), ("hausdorff", hausdorff)):
    assert got[name]["mean"] == pytest.approx(standard.mean(values))
    assert got[name]["sd"] == pytest.approx(standard.stdev(values))


def test_interval_matches_scipys_percentile_bootstrap():
  values = skewed(30)
  expected = stats.bootstrap(
    (values,),
    np.mean,
    n_resamples=100_000,
    method="percentile",
    batch=10_000,
    rng=1,
  )
  intervals = [
    statistics.summarise(rows(dice=values), seed=seed)["dice"]["ci95"]
    for seed in range(10)
  ]
  # A percentile of 10 000 normal means has a noise of sqrt(.025 * .975 /
  # 10 000) / .058 = .027 standard errors; 100 000 against 100 000, .012.
  noise = 0.04 * float(expected.standard_error)
  assert np.mean(intervals, axis=0) == pytest.approx(
    np.array(expected.confidence_interval), abs=noise
  )


def test_interval_of_normal_values_has_the_closed_form():
  values = stats.norm.ppf((np.arange(400) + 0.5) / 400, loc=5, scale=2)
  got = statistics.summarise(rows(assd=values.tolist()))["assd"]
  half = 1.959964 * np.std(values) / math.sqrt(400)
  assert got["ci95"] == pytest.approx([5 - half, 5 + half], abs=0.05 * half)


def test_interval_of_zeros_and_ones_is_the_exact_distribution():
  # Ones among ten draws are binomial: P(<= 1) = .011 and P(<= 2) = .055, far
  # enough on either side of .025 for 10 000 resamples to decide.
  got = statistics.summarise(rows(dice=[0.0, 1.0] * 5))["dice"]
  binomial = stats.binom(10, 0.5)
  expected = [binomial.ppf(0.025) / 10, binomial.ppf(0.975) / 10]
  assert got["ci95"] == pytest.approx(expected)


def test_resampling_follows_the_seed_and_only_the_seed():
  images = rows(dice=skewed(20))
  first = statistics.summarise(images, seed=3)
  np.random.default_rng(9).random(5)
  assert statistics.summarise(images, seed=3) == first
  other = statistics.summarise(images, seed=4)
  assert other["dice"]["ci95"] != first["dice"]["ci95"]
  assert other["dice"]["mean"] == first["dice"]["mean"]


def test_all_metrics_share_the_resamples_whatever_the_order_of_keys():
  dice = skewed(25)
  images = rows(dice=dice, f1=dice, percent=[100 * v - 7 for v in dice])
  images[1:] = [dict(reversed(image.items())) for image in images[1:]]
  got = statistics.summarise(images)
  assert got["f1"] == got["dice"]
  expected = [100 * v - 7 for v in got["dice"]["ci95"]]
  assert got["percent"]["ci95"] == pytest.approx(expected)


@pytest.mark.parametrize("n", [1, 37])
def test_a_metric_equal_on_all_images_is_exact(n):
  got = statistics.summarise(rows(dice=[0.1] * n))
  assert got == {"dice": {"mean": 0.1, "sd": 0.0, "ci95": [0.1, 0.1]}}


@pytest.mark.parametrize(
  ("images", "match"),
  [
    ([], "no image"),
    ([{"dice": 1.0}, {"dice": 1.0, "assd": 0.0}], "image 1 has metrics"),
    (rows(dice=[1, 1, 0], assd=[0, 1, math.nan]), "assd of image 2"),
    (rows(dice=[1, 1, 0], assd=[0, 1, math.inf]), "assd of image 2"),
  ],
)
def test_missing_and_undefined_values_are_refused(images, match):
  with pytest.raises(ValueError, match=match):
    statistics.summarise(images)


def test_drawing_in_parts_changes_nothing(monkeypatch):
  (whole,) = bootstrap.resamples(20, seed=1)
  monkeypatch.setattr(bootstrap, "_COUNTS_AT_ONCE", 20 * 3000)
  parts = [*bootstrap.resamples(20, seed=1)]
  assert [len(part) for part in parts] == [3000, 3000, 3000, 1000]
  np.testing.assert_array_equal(np.concatenate(parts), whole)
  assert np.all(whole.sum(axis=1) == 20)


def test_stratified_resamples_keep_the_number_of_each_label(monkeypatch):
  label = np.array([0, 2, 0, 1, 2, 2])
  monkeypatch.setattr(bootstrap, "_COUNTS_AT_ONCE", 6 * 30)
  parts = [*bootstrap.resamples(6, seed=0, count=100, label=label)]
  counts = np.concatenate(parts)
  assert len(parts) == 4
  assert counts.shape == (100, 6)
  for value in range(3):
    assert np.all(counts[:, label == value].sum(axis=1) == sum(label == value))
  assert len(np.unique(counts, axis=0)) > 10
