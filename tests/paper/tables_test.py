"""The table of a sweep: marks, printed numbers, Markdown, LaTeX and HTML."""

import re

import numpy as np
import pytest

from apppau_jax.metrics import paper_compat
from apppau_jax.metrics.masks import overlap_metrics
from apppau_jax.paper import paper_units, table_page, table_text, tables

FACTS = {"title": "Table 1", "caption": "a & b < c", "table": "1", "failed": {}}
EVIL = '<script>alert("1")</script>'


def _runs(make_run, gains, *, seeds=3, images=20, noise=0.001):
  rng = np.random.default_rng(0)
  base = rng.normal(0.9, 0.01, images)
  return [
    make_run(row, seed, base + gain + rng.normal(0, noise, images))
    for row, gain in gains.items()
    for seed in range(seeds)
  ]


@pytest.fixture
def table(make_run):
  runs = _runs(make_run, {"A": 0.0, "B_1": 0.02, "C": 0.0})
  return tables.make(runs, facts=FACTS)


def test_every_pair_once_and_the_best_only_if_it_differs(table):
  pairs = {(p["first"], p["second"]): p for p in table["comparisons"]}
  assert list(pairs) == [("A", "B_1"), ("A", "C"), ("B_1", "C")]
  assert pairs["A", "B_1"]["difference"] == pytest.approx(-0.02, abs=2e-3)
  assert pairs["A", "B_1"]["p_holm"] < 0.01 < pairs["A", "C"]["p_holm"]
  assert all(p["p_holm"] >= p["p"] for p in pairs.values())
  assert table["best"] == {"montgomery": "B_1"}


def test_two_seeds_or_a_doubtful_lead_mark_nothing(make_run):
  few = _runs(make_run, {"A": 0.0, "B": 0.02}, seeds=2)
  assert tables.make(few, facts=FACTS)["best"] == {}
  # Better on nearly every image, worse on the mean.
  gaps = np.full(40, 0.001)
  gaps[:2] = -0.5
  runs = _runs(make_run, {"A": 0 * gaps, "B": gaps}, images=40, noise=0)
  made = tables.make(runs, facts=FACTS)
  assert made["comparisons"][0]["p_holm"] < 0.05
  assert made["best"] == {}
  alone = tables.make(runs[:3], facts=FACTS)
  assert (alone["best"], alone["comparisons"]) == ({}, [])


def test_runs_on_other_images_are_not_compared(make_run):
  runs = [make_run("A", 0, [0.9, 0.8]), make_run("B", 0, [0.9, 0.8, 0.7])]
  assert tables.make(runs, facts=FACTS)["comparisons"] == []


def test_the_metrics_of_the_lungs_and_the_papers_are_apart(table):
  text = table_text.markdown(table)
  ours, papers = text.split("## In the paper's units")
  assert "Lung Dice" in ours
  assert "JS" not in ours
  assert "JS: pixel accuracy" in papers
  assert "AUROC" not in text  # no run has it
  assert "B_1 *" in ours
  assert "7,762,945" in ours


def _masks(flips, seed):
  rng = np.random.default_rng(seed)
  truth = rng.random((4, 16, 16)) < 0.3
  return truth ^ (rng.random(truth.shape) < flips), truth


def _report(masks):
  tallies = [paper_compat.tally(*pair) for pair in zip(*masks)]
  return {"paper_compat": paper_compat.of_tallies(tallies)}


@pytest.mark.parametrize("lung_is_positive", [True, False])
@pytest.mark.parametrize("flips", [0.1, 0.0])
def test_ratios_have_the_positive_class_of_the_printed_row(
  lung_is_positive, flips
):
  found, truth = _masks(flips, 0)
  units = paper_units.measure(
    _report((found, truth)), lung_is_positive=lung_is_positive
  )
  pair = (found, truth) if lung_is_positive else (~found, ~truth)
  expected = overlap_metrics(*pair)
  names = ("sensitivity", "sensitivity", "specificity", "precision", "dice")
  for column, name in zip(("SN", "RC", "SP", "PR", "F1"), names, strict=True):
    assert units[column] == pytest.approx(expected[name])
  dice = overlap_metrics(found, truth)["dice"]
  assert units["lung_dice"] == pytest.approx(dice)


def test_predictions_of_one_class_alone_have_no_undefined_numbers():
  _, truth = _masks(0.0, 0)
  for found in (np.zeros_like(truth), np.ones_like(truth)):
    units = paper_units.measure(_report((found, truth)), lung_is_positive=True)
    assert np.isfinite([*units.values()]).all()
    assert units["SN"] == float(found.all())


def test_classes_are_f1_for_two_and_weighted_ratios_for_three():
  def of(confusion):
    units = paper_units.measure({"classification": {"confusion": confusion}})
    return units["Acc"], units["class_PR"], units["class_RE"]

  # The counts behind a printed row: 17 normal and 3 others of 35 correct.
  acc, first, second = of([[17, 3], [12, 3]])
  assert (round(acc, 3), round(first, 2), round(second, 2)) == (
    0.571,
    0.69,
    0.29,
  )
  # By hand: precisions 2/3, 1/2, 1 of supports 3, 2, 1.
  acc, precision, recall = of([[2, 1, 0], [1, 1, 0], [0, 0, 1]])
  assert (acc, recall) == (pytest.approx(4 / 6), pytest.approx(4 / 6))
  assert precision == pytest.approx((3 * 2 / 3 + 2 / 2 + 1) / 6)


def test_each_cell_has_our_value_and_the_printed_one(make_run):
  more = {"paper_compat": _report(_masks(0.1, 1))["paper_compat"]}
  more["classification"] = {"confusion": [[3, 1], [1, 3]]}
  runs = [
    make_run(row, 0, [0.9], dataset=dataset, **more)
    for dataset, row in (
      ("montgomery", "U-Net, TV"),
      ("montgomery", "PPAU-Net, Dice"),
      ("shenzhen", "U-Net, TV"),
      ("jsrt", "U-Net, KLTV"),
    )
  ]
  made = tables.make(runs, facts=FACTS)
  block = table_text.blocks(made)[1]
  cells = [dict(zip(block.titles, line)) for line in block.lines]
  values = [row["values"] for row in made["rows"]]

  def pairs(column, title=None):
    found = [cell[title or column].split(" / ") for cell in cells]
    for (ours, _), value in zip(found, values):
      assert ours == f"{value['paper_units.' + column]['mean']:.3f}"
    return [printed for _, printed in found]

  # As printed: MCX and SCX U-Net-TV, JCY U-Net-KLTV; none for PPAU-Net, Dice.
  assert pairs("JS", "JS: pixel accuracy a") == ["0.983", "–", "0.931", "0.980"]
  assert pairs("SN") == ["0.965", "–", "0.975", "0.980"]
  assert pairs("HD", "HD: between rows") == ["2.968", "–", "4.181", "2.553"]
  assert pairs("Acc") == ["–"] * 4  # not in Table 1
  # Solved where the row does not contradict itself, as JSRT's does.
  solved = [title for title in block.titles if title.startswith("Lung Dice")]
  assert pairs("lung_dice", solved[0]) == ["0.966", "–", "0.853", "–"]
  assert [cell["positive"] for cell in cells] == ["lung", *["background"] * 3]
  assert values[0]["paper_units.SN"] != values[1]["paper_units.SN"]
  # Rows of the other table have other names.
  other = tables.make(runs, facts={**FACTS, "table": "2"})
  assert not any(row["printed"] for row in other["rows"])
  for text in (table_text.latex(made), table_page.page(made)):
    assert "0.983" in text


def test_two_decimals_are_printed_as_two(make_run):
  report = {"classification": {"confusion": [[17, 3], [12, 3]]}}
  run = make_run("APPAU-Net, KLTV", 0, [0.9], **report)
  made = tables.make([run], facts={**FACTS, "table": "2"})
  block = table_text.blocks(made)[1]
  cells = dict(zip(block.titles, block.lines[0]))
  assert cells["class RE"] == "0.286 / 0.20"
  assert cells["Acc"] == "0.571 / 0.543"


def test_answers_without_an_image_are_rows(make_run):
  images = [
    {"id": f"i{k}", "dice": 0.9, "label": name}
    for k, name in enumerate(["normal", "normal", "tb"])
  ]
  block = {"class_names": ["normal", "tb"], "accuracy": 0.5}
  run = make_run("A", 0, [0.9], per_image=images, classification=block)
  lungs, papers, *_ = table_text.blocks(tables.make([run], facts=FACTS))
  column = lungs.titles.index("accuracy")
  assert [line[1] for line in lungs.lines] == ["A", "largest class"]
  assert lungs.lines[1][2] == "–"  # no seeds
  assert lungs.lines[1][column] == "0.667"
  assert [line[1] for line in papers.lines] == ["A"]


def test_mean_and_sd_as_text():
  value = {"mean": 0.98123, "sd": 0.0021, "n": 3}
  assert table_text.cell(value, 4) == "0.9812 ± 0.0021"
  value = {"mean": 0.7, "sd": None, "n": 1}
  assert table_text.cell(value, 3, seeds=1) == "0.700"
  assert table_text.cell(value, 3, seeds=3) == "0.700 (n=1)"
  assert table_text.cell(None, 4) == "–"


def test_latex_is_escaped(table):
  text = table_text.latex(table)
  assert r"B\_1 *" in text
  assert text.count(r"\begin{tabular}") == text.count(r"\end{tabular}") == 2
  assert text.count(r"\\") == 2 * 4


def test_the_page_has_everything_and_loads_nothing(make_run, reports):
  cross = {"trained_on": "montgomery", "row": "A", "measured_on": "jsrt"}
  cross |= {"seeds": [0], "n": 9, "auroc_tb": None, "why_not": [EVIL]}
  cross["dice"] = {"mean": 0.5, "sd": None, "n": 1}
  facts = {
    "title": EVIL,
    "caption": "a & b",
    "failed": {EVIL: "broken"},
    "cross": [cross],
    "environment": {"command": "python -m x"},
  }
  rows = [make_run(f"R{i}", 0, [0.9, 0.8]) for i in range(8)]  # 28 pairs
  made = tables.make(rows, facts=facts)
  figure = table_page.Figure("films", f"Films {EVIL}", {"png": b"\x89PNG"})
  text = table_page.page(made, figures=[figure])
  assert "<script" not in text
  assert not re.search(r"https?:|url\(|@import", text)
  page = reports.page(text)
  for words in ("Failed", "broken", "a & b", "films.png", "python -m x"):
    assert words in page.text
  assert [r for r in page.rows if r[0] == "montgomery" and EVIL in r[-1]]
  (image,) = page.attributes("img")
  assert image["src"] == "data:image/png;base64,iVBORw=="
  assert image["alt"] == f"Films {EVIL}"
  policy = page.attributes("meta")[1]
  assert policy["content"].startswith("default-src 'none'")
  assert len(page.attributes("details")) == 1  # many comparisons are folded
  few = tables.make(rows[:3], facts=facts | {"failed": {}})
  assert "<details" not in table_page.page(few)
  assert "Failed" not in table_page.page(few)
