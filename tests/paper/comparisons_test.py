"""Seeds, pairs and multiplicity, against SciPy and by hand."""

import numpy as np
import pytest
from scipy import stats

from apppau_jax.paper import comparisons


def test_mean_and_sd_over_seeds_by_hand(make_run):
  runs = [make_run("a", s, [v, v]) for s, v in ((2, 0.9), (0, 0.8), (1, 0.7))]
  (entry,) = comparisons.summary(
    runs, ["segmentation.dice", "parameters.segmentor", "classification.auroc"]
  )
  assert entry["seeds"] == [0, 1, 2]
  assert entry["values"]["segmentation.dice"] == pytest.approx(
    {"mean": 0.8, "sd": 0.1, "n": 3}
  )
  assert entry["values"]["parameters.segmentor"]["mean"] == 7762945
  assert "classification.auroc" not in entry["values"]


def test_rows_and_sets_are_kept_apart_in_order(make_run):
  runs = [
    make_run("b", 0, [1.0]),
    make_run("a", 0, [1.0]),
    make_run("b", 0, [1.0], dataset="sz"),
  ]
  entries = comparisons.summary(runs, ["segmentation.dice"])
  assert entries[1]["values"]["segmentation.dice"]["sd"] is None  # one seed
  found = [(e["dataset"], e["row"]) for e in entries]
  assert found == [("montgomery", "b"), ("montgomery", "a"), ("sz", "b")]


def test_paired_difference_against_scipy(make_run):
  rng = np.random.default_rng(0)
  a = rng.normal(0.9, 0.02, (3, 12))
  b = a - rng.normal(0.01, 0.01, (3, 12))
  found = comparisons.paired(
    [make_run("a", s, v) for s, v in enumerate(a)],
    [make_run("b", s, v) for s, v in enumerate(b)],
  )
  gaps = (a - b).mean(axis=0)
  assert found["difference"] == pytest.approx(gaps.mean())
  assert found["p"] == pytest.approx(stats.wilcoxon(gaps).pvalue)
  assert found["by_seed"] == pytest.approx((a - b).mean(axis=1))
  # The interval against a plain loop that redraws seeds and images.
  means = [
    (a - b)[np.ix_(rng.choice(3, 3), rng.choice(12, 12))].mean()
    for _ in range(4000)
  ]
  spread = np.ptp(np.percentile(means, [2.5, 97.5]))
  assert np.ptp(found["ci95"]) == pytest.approx(spread, rel=0.1)
  assert np.mean(found["ci95"]) == pytest.approx(gaps.mean(), abs=spread / 8)


def test_only_common_seeds_and_the_same_images_compare(make_run):
  a = [make_run("a", 0, [0.9, 0.8]), make_run("a", 5, [0.1, 0.1])]
  b = [make_run("b", 0, [0.8, 0.9])]
  assert comparisons.paired(a, b)["seeds"] == [0]
  assert comparisons.paired(a[1:], b) is None
  other = [make_run("b", 0, [0.8, 0.9], ids=["x", "y"])]
  with pytest.raises(ValueError, match="different images"):
    comparisons.paired(a, other)


def test_folds_are_compared_over_the_images_of_all(make_run):
  """Seeds 0 and 2 measure one fold, seed 1 another with twice the images."""
  rng = np.random.default_rng(0)
  gaps = {0: rng.normal(0.01, 0.01, 8), 1: rng.normal(0.03, 0.01, 16)}
  gaps[2] = gaps[0] + 0.01
  ids = {s: [f"{s % 2}-{k}" for k in range(len(g))] for s, g in gaps.items()}

  def runs(row, factor):
    return [
      make_run(row, s, 0.9 + factor * g, ids=ids[s], split_name=f"fold-{s % 2}")
      for s, g in gaps.items()
    ]

  first, second = runs("a", 1), runs("b", 0)
  found = comparisons.paired(first, second)
  each = np.concatenate([(gaps[0] + gaps[2]) / 2, gaps[1]])
  assert found["difference"] == pytest.approx(each.mean())
  assert found["p"] == pytest.approx(stats.wilcoxon(each).pvalue)
  assert found["by_seed"] == pytest.approx([gaps[s].mean() for s in range(3)])
  one = np.array([gaps[0], gaps[2]])
  # A plain loop that redraws images in each fold, and the seeds of fold 0.
  means = [
    (8 * one[np.ix_(rng.choice(2, 2), rng.choice(8, 8))].mean()
     + rng.choice(gaps[1], 16).sum()) / 24
    for _ in range(4000)
  ]  # fmt: skip
  spread = np.ptp(np.percentile(means, [2.5, 97.5]))
  assert np.ptp(found["ci95"]) == pytest.approx(spread, rel=0.1)
  assert comparisons.on_different_images([*first, *second]) == []
  halves = [make_run(r, s, [1.0, 1.0], ids=["x", f"y{s}"])
            for r, s in (("a", 0), ("a", 1))]  # fmt: skip
  with pytest.raises(ValueError, match="some of their images"):
    comparisons.paired(halves, halves)


def test_equal_rows_do_not_differ(make_run):
  runs = [make_run("a", 0, [0.9, 0.8, 0.7])]
  found = comparisons.paired(runs, runs)
  assert (found["difference"], found["p"]) == (0.0, 1.0)
  assert found["ci95"] == [0.0, 0.0]


def test_holm_by_hand():
  # .01 x 3, .02 x 2, .04 x 1, never less than the one before.
  assert comparisons.holm([0.04, 0.01, 0.02]) == pytest.approx(
    [0.04, 0.03, 0.04]
  )
  assert comparisons.holm([0.5, 0.9]) == pytest.approx([1.0, 1.0])
  assert comparisons.holm([]) == []
