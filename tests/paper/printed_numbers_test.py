"""The claims of docs/paper.md about the printed tables, computed from them."""

import pathlib
import re

import numpy as np
import pytest
from scipy import stats
from sklearn import metrics

from apppau_jax.metrics import paper_compat, surface
from apppau_jax.metrics.masks import overlap_metrics
from apppau_jax.paper import printed_numbers, table3, table_rows

PAPER = printed_numbers.read()
ROWS = printed_numbers.rows()
PUBLIC = {row.dataset: row for row in table3.rows()}
_PAGE = pathlib.Path(__file__).parents[2] / "docs" / "paper.md"
DOCUMENT = _PAGE.read_text(encoding="utf-8")
LUNGS = {"montgomery": 0.26, "shenzhen": 0.25, "jsrt": 0.31}  # of the pixels


def _select(table, *datasets):
  return [r for r in ROWS if r.table == table and r.dataset in datasets]


def _pixels(size=20000):
  rng = np.random.default_rng(0)
  truth = rng.random(size) < 0.3
  return truth, np.where(rng.random(size) < 0.1, ~truth, truth)


def _row(**changes):
  """A row as the paper would print it of known pixels, if JS is accuracy."""
  truth, found = _pixels()
  recall = metrics.recall_score(truth, found)
  accuracy = metrics.accuracy_score(truth, found)
  values = {
    "SN": recall,
    "RC": recall,
    "SP": metrics.recall_score(truth, found, pos_label=False),
    "PR": metrics.precision_score(truth, found),
    "F1": metrics.f1_score(truth, found),
    "JS": accuracy,
    "DS": 2 * accuracy / (1 + accuracy),
  }
  values = {name: round(float(v), 3) for name, v in values.items()}
  return printed_numbers.PrintedRow(
    table="1", dataset="x", name="x", values=values | changes
  )


def test_every_row_of_both_tables_is_there_with_every_column():
  segmentation = {"DS", "JS", "SSIM", "F1", "HD", "SN", "SP", "PR", "RC"}
  for table, count in (("1", 24), ("2", 12)):
    own = [row for row in ROWS if row.table == table]
    assert len({(row.dataset, row.name) for row in own}) == len(own) == count
    columns = segmentation | (
      {"Acc", "class_PR", "class_RE"} if table == "2" else set()
    )
    assert all(row.values.keys() == columns for row in own)


@pytest.mark.parametrize("table", ["1", "2"])
def test_printed_rows_have_the_names_of_our_rows(table):
  ours = table_rows.rows(
    table, protocol="paper", datasets=[*LUNGS, "ccx"], extra=False
  )
  found = [(row.dataset, row.name) for row in ROWS if row.table == table]
  assert sorted(found) == sorted((row.dataset, row.name) for row in ours)


def test_share_and_accuracy_follow_from_three_ratios():
  truth, found = _pixels()
  for positive in (True, False):  # either class may be the positive one
    t, f = truth == positive, found == positive
    solved = printed_numbers.solve(
      metrics.recall_score(t, f),
      metrics.recall_score(t, f, pos_label=False),
      metrics.precision_score(t, f),
    )
    assert solved.positive == pytest.approx(t.mean())
    assert solved.accuracy == pytest.approx(metrics.accuracy_score(t, f))
  with pytest.raises(ValueError, match="undetermined"):
    printed_numbers.solve(1.0, 0.9, 1.0)


def test_lung_dice_by_counting():
  truth, found = _pixels()
  values = overlap_metrics(found[None], truth[None])
  got = printed_numbers.lung_dice(
    accuracy=values["accuracy"],
    lung=truth.mean(),
    recall=values["sensitivity"],
  )
  assert got == pytest.approx(values["dice"])
  assert _row().lung_dice == pytest.approx(values["dice"], abs=1e-3)


@pytest.mark.parametrize(
  ("wrong", "columns"),
  [
    ({}, []),
    ({"RC": 0.5, "F1": 0.5}, ["RC", "F1"]),
    ({"DS": 0.9}, ["DS"]),
    ({"JS": 0.81, "DS": 0.895}, ["JS"]),
    ({"RC": round(_row().values["SN"] - 0.001, 3)}, ["RC"]),
  ],
)
def test_a_row_is_checked_column_by_column(wrong, columns):
  found = printed_numbers.contradictions(_row(**wrong))
  assert [formula.split(" ")[0] for formula in found] == columns


def test_a_lung_jaccard_in_place_of_the_accuracy_is_noticed():
  js = round(float(metrics.jaccard_score(*_pixels())), 3)
  row = _row(JS=js, DS=round(printed_numbers.ds_from_js(js), 3))
  (formula,) = printed_numbers.contradictions(row)
  assert formula.startswith("JS")


def test_the_rounding_box_is_spanned_by_its_corners():
  """Against random values that round to the printed ones."""
  rng = np.random.default_rng(0)
  for relation in printed_numbers.RELATIONS[:4]:
    for row in ROWS[::5]:
      values = [row.values[name] for name in relation.arguments]
      found = [
        relation.derive(*(v + rng.uniform(-5e-4, 5e-4) for v in values))
        for _ in range(200)
      ]
      near = np.abs(np.array(found) - row.values[relation.column]) < 5e-4
      assert relation.holds(row.values) >= near.any()


def _numbers(pattern):
  """The numbers that the document's claim has, in their order."""
  (text,) = re.findall(pattern, DOCUMENT)
  return [float(number) for number in re.findall(r"\d+(?:\.\d+)?", text)]


def test_the_document_has_the_computed_tables():
  lines = re.findall(r"^\| (.+) \|$", DOCUMENT, re.MULTILINE)
  tables = [line.split(" | ") for line in lines]
  for formula, counts in printed_numbers.summary().items():
    (line,) = [line[1:] for line in tables if line[0] == formula]
    assert [int(number) for number in line] == list(counts)
  for row in ROWS:
    key = [row.table, row.dataset, row.name]
    (line,) = [line[3:] for line in tables if line[:3] == key]
    numbers = [*row.solved, row.values["JS"], row.lung_dice]
    assert [float(x) for x in line[1:5]] == pytest.approx(numbers, abs=5.1e-4)
    assert line[0] == ("lung" if row.lung_is_positive else "background")
    wrong = [f.split(" ")[0] for f in printed_numbers.contradictions(row)]
    assert line[5] == (", ".join(wrong) or "–")


def test_the_document_has_the_computed_counts_and_ranges():
  near = [abs(r.solved.accuracy - r.values["JS"]) <= 1e-3 for r in ROWS]
  assert _numbers(r"In (.+) rows JS is") == [sum(near), len(near)]

  ranges = []
  for table in ("1", "2"):
    for dataset in ("montgomery", "shenzhen", "jsrt", "ccx"):
      found = [round(r.lung_dice, 3) for r in _select(table, dataset)]
      ranges += [min(found), max(found)]
  said = _numbers(r"Lung Dice of Table 1:(.+)\|")
  assert [number for number in said if number < 1] == ranges

  shenzhen = _select("2", "shenzhen")
  recalls = [row.values["SP"] for row in shenzhen]  # background is positive
  highest = [f(row.values["DS"] for row in shenzhen) for f in (min, max)]
  said = _numbers(r"semi-supervised rows of Shenzhen have(.+)\|")
  assert said == [*recalls, *ranges[10:12], *highest]

  rows = _select("1", "shenzhen", "jsrt", "ccx")
  pairs = list(zip(rows[::2], rows[1::2]))  # TV, KLTV
  falls = sum(b.values["SN"] < a.values["SN"] for a, b in pairs)
  rises = sum(b.values["SP"] > a.values["SP"] for a, b in pairs)
  said = _numbers(r"From TV to KLTV,(.+): more")
  assert said == [falls, len(pairs), rises]

  largest = sum(max(PUBLIC[name].classes) for name in LUNGS)
  said = _numbers(r"data set alone gives the class of(.+)images")
  assert said == [largest, PUBLIC["ccx"].images]


def test_the_document_has_the_computed_answers():
  rows = _select("2", *LUNGS)
  found = [printed_numbers.answers(row) for row in rows]
  assert found == [
    *([(17, 3)], [], [(17, 2)]),
    *[[(0, 47)]] * 3,
    *([(48, 15)], [(61, 12)], [(36, 31)]),
  ]
  assert {n: PUBLIC[n].test for n in LUNGS} == printed_numbers.SIZES
  unique = sum(len(answers) == 1 for answers in found)
  assert _numbers(r"in (\d of \d) rows exactly one") == [unique, len(rows)]
  without = sum(not _has_precision_and_recall(row) for row in rows)
  assert _numbers(r"one class (\d of \d) rows") == [without, len(rows)]
  for row in _select("2", *LUNGS, "ccx"):
    images = PUBLIC[row.dataset].test
    acc = row.values["Acc"]
    assert round(round(acc * images) / images, 3) == acc
  pairs = [(r.values["Acc"], r.values["class_RE"]) for r in _select("2", "ccx")]
  equal = sum(abs(a - b) <= 0.005 for a, b in pairs)
  assert _numbers(r"equals Acc in (\d of \d)") == [equal, len(pairs)]


def _has_precision_and_recall(row):
  """Whether some counts give class PR and RE as ratios of one class."""
  images = printed_numbers.SIZES[row.dataset]
  correct = round(row.values["Acc"] * images)
  hits, added = np.mgrid[: correct + 1, : images - correct + 1]
  missed = images - correct - added
  precision = hits / np.maximum(hits + added, 1)
  recall = hits / np.maximum(hits + missed, 1)
  near = abs(precision - row.values["class_PR"]) <= 0.005001
  near &= abs(recall - row.values["class_RE"]) <= 0.005001
  return bool(near.any())


def test_rows_that_are_copies_and_rows_that_lead():
  *_, tv, kltv = _select("1", "montgomery")
  assert tv.values == kltv.values
  *_, last = _select("2", "montgomery")
  assert last.values["SP"] == last.values["PR"] == 0.944
  # Without SP the row has the lung share of its set; with it, it has not.
  assert last.lung_is_positive
  assert last.solved.positive > 0.5
  for dataset, name in (
    ("shenzhen", "Attention U-Net, KLTV"),
    ("ccx", "U-Net, TV"),
  ):
    best = max(_select("1", dataset), key=lambda row: row.values["JS"])
    assert best.name == name


def test_positive_is_the_background_and_ccx_mixes_both():
  shares = {}
  for dataset in (*LUNGS, "ccx"):
    rows = _select("1", dataset)[:4]  # those of Montgomery with lung positive
    assert {r.lung_is_positive for r in rows} == {dataset == "montgomery"}
    shares[dataset] = np.median([row.solved.positive for row in rows])
  assert shares["montgomery"] == pytest.approx(LUNGS["montgomery"], abs=0.01)
  for name in ("shenzhen", "jsrt"):
    assert shares[name] == pytest.approx(1 - LUNGS[name], abs=0.011)
  # Test images of Table 3: lungs positive in Montgomery, background elsewhere.
  tests = {name: PAPER["table3"][name][2] for name in LUNGS}

  def mixed(montgomery):
    own = {**shares, "montgomery": montgomery}
    return sum(tests[n] * own[n] for n in tests) / sum(tests.values())

  lungs = LUNGS["montgomery"]
  assert mixed(lungs) == pytest.approx(shares["ccx"], abs=0.01)
  assert mixed(1 - lungs) > shares["ccx"] + 0.07


def _lungs(scale):
  """A mask of 128 x 128 with two lungs, shrunk to their centres."""
  y, x = np.mgrid[:128, :128]
  lungs = np.zeros((128, 128), bool)
  for centre in (40, 88):
    across, down = (x - centre) / (16 * scale), (y - 64) / (44 * scale)
    lungs |= across**2 + down**2 <= 1
  return lungs


def test_hd_can_be_between_rows_but_not_between_boundaries():
  lungs, part = _lungs(1.0), _lungs(0.4)
  recall = (lungs & part).sum() / lungs.sum()
  printed = _select("2", "shenzhen")[0].values
  assert recall == pytest.approx(printed["SP"], abs=0.05)
  units = paper_compat.of_tallies([paper_compat.tally(part, lungs)])
  assert units["js_pixel_accuracy"] == pytest.approx(printed["JS"], abs=0.05)
  assert units["hausdorff_rows"] == pytest.approx(printed["HD"], rel=0.1)
  highest = max(row.values["HD"] for row in ROWS)
  boundaries = surface.surface_distances(part, lungs)["hausdorff"]
  assert boundaries > 3 * highest


def test_two_class_f1_by_sklearn():
  truth = np.repeat([0, 1], [20, 15])
  guess = np.repeat([0, 1, 0, 1], [17, 3, 12, 3])
  f1 = metrics.f1_score(truth, guess, average=None)
  assert printed_numbers.right_answers(
    f1.round(3), correct=20, images=35, places=3
  ) == [(17, 3)]


def test_jsrt_is_always_nodule_and_its_split_was_not_stratified():
  jsrt = PUBLIC["jsrt"]
  normal, _, nodules = jsrt.classes
  always = 2 * 47 / (2 * 47 + (jsrt.test - 47))  # F1 of answering nodule
  for row in _select("2", "jsrt"):
    assert row.values["Acc"] == round(47 / jsrt.test, 3)
    f1 = (row.values["class_PR"], row.values["class_RE"])
    assert f1 == (0.0, round(always, 2))
  # A stratified part has 38 or 39; 47 or more are unlikely at random.
  assert round(jsrt.test * nodules / jsrt.images) == 39
  chance = stats.hypergeom.sf(46, normal + nodules, nodules, jsrt.test)
  assert chance == pytest.approx(0.008, abs=2e-3)


def test_montgomery_and_shenzhen_are_classified_no_better_than_the_majority():
  for dataset in ("montgomery", "shenzhen"):
    public = PUBLIC[dataset]
    best = max(row.values["Acc"] for row in _select("2", dataset))
    p = stats.binomtest(
      round(best * public.test),
      public.test,
      max(public.classes) / public.images,
      alternative="greater",
    ).pvalue
    assert p > 0.2


def test_table_3_and_the_swapped_names_of_shenzhen():
  for name, parts in PAPER["table3"].items():
    row = PUBLIC[name]
    assert parts == [row.train, row.validation, row.test]
  # The combined test part is one short of the three.
  parts = [PAPER["table3"][name][2] for name in LUNGS]
  assert sum(parts) == PAPER["table3"]["ccx"][2] + 1
  text, there = PAPER["text"], PAPER["public"]
  assert (text["normal"], text["abnormal"]) == (there["tb"], there["normal"])
  assert text["used_normal"] + text["used_abnormal"] == 527
  # 279 normal radiographs have masks: the 279 "abnormal" ones are those.
  normal, tb, _ = PUBLIC["shenzhen"].classes
  assert (normal, tb) == (text["used_abnormal"], text["used_normal"])


def test_in_the_papers_units_a_public_u_net_would_lead():
  """Idiap's U-Net: lung Dice in bob.ip.binseg's results."""
  public = {"montgomery": 0.982, "shenzhen": 0.952, "jsrt": 0.982}
  for dataset, dice in public.items():
    # As many pixels missed as added: wrong = 2 l (1 - D).
    accuracy = 1 - 2 * LUNGS[dataset] * (1 - dice)
    printed = max(row.values["DS"] for row in _select("1", dataset))
    assert printed_numbers.ds_from_js(accuracy) > printed + 2e-3
