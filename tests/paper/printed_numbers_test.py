"""What docs/paper.md says of the printed tables, computed from their figures.

The whole tables are not at hand: `paper_tables.json` says what is missing.
"""

from fractions import Fraction

import numpy as np
import pytest
from scipy import stats
from sklearn import metrics

from apppau_jax.metrics import paper_compat, surface
from apppau_jax.metrics.masks import overlap_metrics
from apppau_jax.paper import printed_numbers

PAPER = printed_numbers.read()
LUNGS = {"montgomery": 0.26, "shenzhen": 0.25, "jsrt": 0.31}  # of the pixels


def _pixels(seed=0, size=20000):
  rng = np.random.default_rng(seed)
  truth = rng.random(size) < 0.3
  return truth, np.where(rng.random(size) < 0.1, ~truth, truth)


def _row(truth, found):
  """What the paper would print of pixels, if JS were the accuracy."""
  recall = metrics.recall_score(truth, found)
  accuracy = metrics.accuracy_score(truth, found)
  values = {
    "sn": recall,
    "rc": recall,
    "sp": metrics.recall_score(truth, found, pos_label=False),
    "pr": metrics.precision_score(truth, found),
    "f1": metrics.f1_score(truth, found),
    "js": accuracy,
    "ds": 2 * accuracy / (1 + accuracy),
  }
  return {name: round(float(value), 3) for name, value in values.items()}


def test_prevalence_and_accuracy_follow_from_three_figures():
  truth, found = _pixels()
  for positive in (True, False):  # either class may be the positive one
    t, f = truth == positive, found == positive
    solved = printed_numbers.solve(
      sensitivity=metrics.recall_score(t, f),
      specificity=metrics.recall_score(t, f, pos_label=False),
      precision=metrics.precision_score(t, f),
    )
    assert solved.positive == pytest.approx(t.mean())
    assert solved.accuracy == pytest.approx(metrics.accuracy_score(t, f))
  with pytest.raises(ValueError, match="undetermined"):
    printed_numbers.solve(sensitivity=1.0, specificity=0.9, precision=1.0)


@pytest.mark.parametrize(
  ("wrong", "says"),
  [
    ({}, []),
    ({"rc": 0.5, "f1": 0.5}, ["rc is not sn", "f1 is not the harmonic"]),
    ({"ds": 0.9}, ["ds is not"]),
    ({"js": 0.81, "ds": 0.895}, ["js is not the pixel accuracy"]),
  ],
)
def test_a_whole_row_is_checked_column_by_column(wrong, says):
  found = printed_numbers.contradictions(_row(*_pixels()) | wrong)
  assert len(found) == len(says)
  assert all(map(str.startswith, found, says))


def test_a_lung_jaccard_in_place_of_the_accuracy_would_be_noticed():
  truth, found = _pixels()
  row = _row(truth, found)
  row["js"] = round(float(metrics.jaccard_score(truth, found)), 3)
  row["ds"] = round(printed_numbers.ds_from_js(row["js"]), 3)
  assert printed_numbers.contradictions(row) == ["js is not the pixel accuracy"]


@pytest.mark.parametrize(
  "row", PAPER["rows"], ids=lambda r: f"{r['table']}-{r['dataset']}-{r['row']}"
)
def test_each_printed_row_agrees_with_itself_but_for_what_is_noted(row):
  found = printed_numbers.contradictions(row["printed"])
  assert found == row.get("contradictions", [])
  # JS is the accuracy that the whole row was solved for.
  solved, printed = row.get("solved", {}), row["printed"]
  if {"js"} <= printed.keys() and "accuracy" in solved:
    assert solved["accuracy"] == pytest.approx(printed["js"], abs=1e-3)
  if "f1" in printed and "harmonic_mean" in solved:
    assert abs(solved["harmonic_mean"] - printed["f1"]) > 5e-3


def test_the_highest_ds_is_that_of_the_highest_js():
  best = printed_numbers.printed(
    1, dataset="shenzhen", row="Attention U-Net, KLTV"
  )
  ds = printed_numbers.ds_from_js(best["js"])
  assert ds == pytest.approx(PAPER["highest_ds"]["shenzhen"], abs=6e-4)
  assert printed_numbers.printed(1, dataset="shenzhen", row="none") == {}


def test_lung_dice_by_counting():
  truth, found = _pixels()
  values = overlap_metrics(found[None], truth[None])
  got = printed_numbers.lung_dice(
    accuracy=values["accuracy"],
    lung=truth.mean(),
    recall=values["sensitivity"],
  )
  assert got == pytest.approx(values["dice"])


def test_the_semi_supervised_shenzhen_rows_miss_most_of_the_lungs():
  rows = [
    row
    for row in PAPER["rows"]
    if (row["table"], row["dataset"]) == (2, "shenzhen")
  ]
  low, high = PAPER["table2_ds_shenzhen"]
  implied = []
  for row in rows:
    recall, dice = row["solved"]["lung_recall"], row["solved"]["lung_dice"]
    assert recall < 0.5
    # The accuracy behind recall and Dice, lungs being a quarter of the film.
    wrong = 2 * LUNGS["shenzhen"] * recall * (1 - dice) / dice
    implied.append(1 - wrong)
    assert low - 5e-3 < printed_numbers.ds_from_js(1 - wrong) < high + 5e-3
  assert implied[0] == pytest.approx(rows[0]["printed"]["js"], abs=1e-3)
  by_js = printed_numbers.lung_dice(
    accuracy=0.790, lung=LUNGS["shenzhen"], recall=0.162
  )
  assert by_js == pytest.approx(0.278, abs=1e-3)


def test_positive_is_the_background_and_ccx_mixes_both():
  fraction = PAPER["positive_fraction"]
  for name in ("shenzhen", "jsrt"):
    assert fraction[name] == pytest.approx(1 - LUNGS[name], abs=0.01)
  low, high = fraction["montgomery"]
  assert low <= LUNGS["montgomery"] <= high
  # Test images of Table 3: lungs positive in Montgomery, background elsewhere.
  tests = {name: PAPER["table3"][name][2] for name in LUNGS}
  total = sum(tests.values())

  def mixed(montgomery):
    shares = {**fraction, "montgomery": montgomery}
    return sum(tests[name] * shares[name] for name in tests) / total

  lungs = LUNGS["montgomery"]
  assert mixed(lungs) == pytest.approx(fraction["ccx"], abs=0.01)
  assert mixed(1 - lungs) > fraction["ccx"] + 0.07


def _lungs(scale):
  """A mask of 128 x 128 with two lungs, shrunk to their middles."""
  y, x = np.mgrid[:128, :128]
  lungs = np.zeros((128, 128), bool)
  for centre in (40, 88):
    across, down = (x - centre) / (16 * scale), (y - 64) / (44 * scale)
    lungs |= across**2 + down**2 <= 1
  return lungs


def test_hd_can_be_between_rows_but_not_between_boundaries():
  lungs, part = _lungs(1.0), _lungs(0.4)
  recall = (lungs & part).sum() / lungs.sum()
  assert 0.1 < recall < 0.2  # as the row of Table 2 with JS .790
  printed = printed_numbers.printed(2, dataset="shenzhen", row="APPAU-Net, TV")
  between_rows = paper_compat.paper_compat(part[None], lungs[None])
  assert between_rows["js_pixel_accuracy"] == pytest.approx(0.79, abs=0.05)
  assert between_rows["hausdorff_rows"] == pytest.approx(printed["hd"], rel=0.1)
  boundaries = surface.surface_distances(part, lungs)["hausdorff"]
  assert boundaries > 3 * PAPER["hd_range"][1]


@pytest.mark.parametrize(
  "row", PAPER["classification"], ids=lambda r: f"{r['dataset']}-{r['row']}"
)
def test_precision_and_recall_of_table_2_are_the_two_f1(row):
  found = printed_numbers.right_answers(
    row["f1"],
    correct=row["correct"],
    images=row["images"],
    places=2 if row["right"] is None else 3,
  )
  assert found == ([tuple(row["right"])] if row["right"] else [])
  assert row["images"] == PAPER["table3"][row["dataset"]][2]
  low, high = PAPER["classification_accuracy"][row["dataset"]]
  assert low <= round(row["correct"] / row["images"], 3) <= high


def test_two_class_f1_by_sklearn():
  truth = np.repeat([0, 1], [20, 15])
  guess = np.repeat([0, 1, 0, 1], [17, 3, 12, 3])
  f1 = metrics.f1_score(truth, guess, average=None).round(3)
  right = printed_numbers.right_answers(f1, correct=20, images=35)
  assert right == [(17, 3)]


def test_jsrt_is_always_nodule_and_its_split_was_not_stratified():
  sizes = PAPER["public_sizes"]["jsrt"]
  nodules, images = sizes["nodule"], sum(sizes.values())
  tests = PAPER["table3"]["jsrt"][2]
  answers = {
    (row["correct"], tuple(row["f1"]))
    for row in PAPER["classification"]
    if row["dataset"] == "jsrt"
  }
  always = 2 * 47 / (2 * 47 + (tests - 47))  # F1 of answering nodule always
  assert answers == {(47, (0.0, round(always, 3)))}
  assert round(47 / tests, 3) == PAPER["classification_accuracy"]["jsrt"][0]
  # A stratified part has 38 or 39; 47 or more are unlikely at random.
  assert round(tests * nodules / images) == 39
  chance = stats.hypergeom.sf(46, images, nodules, tests)
  assert chance == pytest.approx(0.008, abs=2e-3)


def test_montgomery_and_shenzhen_are_classified_no_better_than_the_majority():
  for dataset, normal, abnormal in (
    ("montgomery", 80, 58),
    ("shenzhen", 279, 248),
  ):
    majority = Fraction(normal, normal + abnormal)
    best = PAPER["classification_accuracy"][dataset][1]
    tests = PAPER["table3"][dataset][2]
    # No printed accuracy is significantly above naming the larger class.
    correct = round(best * tests)
    p = stats.binomtest(
      correct, tests, float(majority), alternative="greater"
    ).pvalue
    assert p > 0.2


def test_the_source_alone_names_513_of_912():
  sizes = PAPER["public_sizes"]
  largest = 80 + max(279, 248) + sizes["jsrt"]["nodule"]
  assert largest == 513
  assert sum(map(sum, PAPER["table3"].values())) == 2 * 912
  assert round(largest / 912, 2) == 0.56


def test_table_3_and_the_swapped_names_of_shenzhen():
  sums = {name: sum(parts) for name, parts in PAPER["table3"].items()}
  assert sums == {"montgomery": 138, "shenzhen": 527, "jsrt": 247, "ccx": 912}
  # The combined test part is one short of the three.
  parts = [PAPER["table3"][name][2] for name in LUNGS]
  assert sum(parts) == PAPER["table3"]["ccx"][2] + 1
  stated = PAPER["stated_sizes"]["shenzhen"]
  public = PAPER["public_sizes"]["shenzhen"]
  assert (stated["normal"], stated["abnormal"]) == (
    public["tb"],
    public["normal"],
  )
  assert stated["used_normal"] + stated["used_abnormal"] == 527
  # There are 279 normal films with masks: the 279 "abnormal" are those.
  assert stated["used_abnormal"] == public["masked_normal"]
  assert public["masked_tb"] - stated["used_normal"] == 39


def test_in_the_papers_units_a_public_u_net_would_lead():
  """Idiap's U-Net, lung Dice .982, .952 and .982 (bob.ip.binseg's results)."""
  for dataset, dice in (
    ("montgomery", 0.982),
    ("shenzhen", 0.952),
    ("jsrt", 0.982),
  ):
    # As many pixels missed as added: wrong = 2 l (1 - D).
    accuracy = 1 - 2 * LUNGS[dataset] * (1 - dice)
    # Jaccard is not monotonic in this: the paper's DS of that accuracy.
    ds = printed_numbers.ds_from_js(accuracy)
    assert ds > PAPER["highest_ds"][dataset] + 2e-3
