import json
import math
import statistics as standard

import numpy as np
import pytest
from scipy import stats

from apppau_jax.metrics import statistics


def rows(**columns) -> list[dict[str, float]]:
  return [
    dict(zip(columns, values)) for values in zip(*columns.values(), strict=True)
  ]


def skewed(n: int, *, seed: int = 5) -> list[float]:
  return np.random.default_rng(seed).beta(12, 1, size=n).tolist()


def test_mean_and_sd_match_the_standard_library():
  dice, hausdorff = [0.9, 0.95, 0.7, 0.99], [3.0, 1.0, 11.0, 2.5]
  got = statistics.summarise(rows(dice=dice, hausdorff=hausdorff))
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
  # Means of two draws from {0, 1}: 0, 1/2, 1 with 1/4, 1/2, 1/4.
  got = statistics.summarise(rows(dice=[0.0, 1.0]))["dice"]
  assert got["ci95"] == [0.0, 1.0]
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


def test_all_metrics_share_the_resamples():
  dice = skewed(25)
  got = statistics.summarise(
    rows(dice=dice, f1=dice, percent=[100 * v - 7 for v in dice])
  )
  assert got["f1"] == got["dice"]
  expected = [100 * v - 7 for v in got["dice"]["ci95"]]
  assert got["percent"]["ci95"] == pytest.approx(expected)


def test_drawing_in_parts_changes_nothing(monkeypatch):
  images = rows(dice=skewed(20))
  whole = statistics.summarise(images)
  monkeypatch.setattr(statistics, "_COUNTS_AT_ONCE", 20 * 3000)
  parts = statistics.summarise(images)
  assert parts["dice"]["ci95"] == pytest.approx(whole["dice"]["ci95"])


def test_one_image_has_no_spread():
  got = statistics.summarise([{"dice": 0.93}])
  assert got == {"dice": {"mean": 0.93, "sd": 0.0, "ci95": [0.93, 0.93]}}


def test_a_metric_equal_on_all_images_is_exact():
  got = statistics.summarise(rows(dice=[0.1] * 37))
  assert got == {"dice": {"mean": 0.1, "sd": 0.0, "ci95": [0.1, 0.1]}}


def test_the_summary_survives_json():
  got = statistics.summarise(rows(dice=[0.5, 0.75], assd=[1, 3]))
  assert json.loads(json.dumps(got)) == got


def test_no_image_is_an_error():
  with pytest.raises(ValueError, match="no image"):
    statistics.summarise([])


def test_different_metrics_per_image_are_an_error():
  with pytest.raises(ValueError, match="image 1 has metrics"):
    statistics.summarise([{"dice": 1.0}, {"dice": 1.0, "assd": 0.0}])


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_an_undefined_value_is_an_error_not_a_gap(value):
  with pytest.raises(ValueError, match="assd of image 2"):
    statistics.summarise(rows(dice=[1.0, 1.0, 0.0], assd=[0.0, 1.0, value]))


def test_keys_in_another_order_still_meet_their_own_values():
  got = statistics.summarise([{"a": 1.0, "b": 5.0}, {"b": 7.0, "a": 3.0}])
  assert got["a"]["mean"] == 2.0
  assert got["b"]["mean"] == 6.0
