"""What a table of runs says, and what it may not say."""

import numpy as np
import pytest

from apppau_jax.paper import table_page, tables

FACTS = {"title": "Table 1", "caption": "a & b < c", "failed": {}}


@pytest.fixture
def table(make_run):
  rng = np.random.default_rng(0)
  base = rng.normal(0.9, 0.01, 20)
  runs = [
    make_run(row, seed, base + gain + rng.normal(0, 0.001, 20))
    for row, gain in (("A", 0.0), ("B_1", 0.02), ("C", 0.0))
    for seed in (0, 1, 2)
  ]
  return tables.make(runs, facts=FACTS)


def test_every_pair_once_and_the_best_only_if_it_differs(table):
  pairs = {(p["first"], p["second"]): p for p in table["comparisons"]}
  assert list(pairs) == [("A", "B_1"), ("A", "C"), ("B_1", "C")]
  assert pairs["A", "B_1"]["difference"] == pytest.approx(-0.02, abs=2e-3)
  assert pairs["A", "B_1"]["p_holm"] < 0.01 < pairs["A", "C"]["p_holm"]
  assert all(p["p_holm"] >= p["p"] for p in pairs.values())
  assert table["best"] == {"montgomery": "B_1"}


def test_two_seeds_or_a_doubtful_lead_mark_nothing(make_run):
  rng = np.random.default_rng(1)
  base = rng.normal(0.9, 0.01, 20)
  few = [
    make_run(r, s, base + g) for r, g in (("A", 0), ("B", 0.02)) for s in (0, 1)
  ]
  assert tables.make(few, facts=FACTS)["best"] == {}
  # Better on nearly every image, worse on the mean: no leader.
  gaps = np.full(40, 0.001)
  gaps[:2] = -0.5
  level = np.full(40, 0.9)
  runs = [
    make_run(row, seed, level + gain)
    for row, gain in (("A", 0 * gaps), ("B", gaps))
    for seed in (0, 1, 2)
  ]
  made = tables.make(runs, facts=FACTS)
  assert made["comparisons"][0]["p_holm"] < 0.05
  assert made["best"] == {}


def test_runs_on_other_images_are_not_compared(make_run):
  runs = [make_run("A", 0, [0.9, 0.8]), make_run("B", 0, [0.9, 0.8, 0.7])]
  assert tables.make(runs, facts=FACTS)["comparisons"] == []


def test_a_tie_has_no_best(make_run):
  runs = [make_run("A", 0, [0.9, 0.8, 0.7]), make_run("B", 0, [0.7, 0.8, 0.9])]
  assert tables.make(runs, facts=FACTS)["best"] == {}
  alone = tables.make(runs[:1], facts=FACTS)
  assert alone["best"] == {}
  assert alone["comparisons"] == []


def test_the_two_blocks_are_apart(table):
  text = tables.markdown(table)
  ours, papers = text.split("## In the paper's units")
  assert "Lung Dice" in ours
  assert "JS (pixel accuracy)" not in ours
  assert "JS (pixel accuracy)" in papers
  assert "| Lung Dice" not in papers.split("## Lung Dice")[0]
  assert "AUROC" not in text  # nobody has it
  assert "B_1 *" in ours
  assert "7,762,945" in ours


def test_mean_and_sd_as_written():
  assert tables.cell({"mean": 0.98123, "sd": 0.0021, "n": 3}, 4) == (
    "0.9812 ± 0.0021"
  )
  assert tables.cell({"mean": 0.98123, "sd": None, "n": 1}, 4) == "0.9812"
  assert tables.cell(None, 4) == "–"
  auroc = {"mean": 0.7, "sd": None, "n": 1}
  assert tables.cell(auroc, 3, seeds=3) == "0.700 (n=1)"
  assert tables.cell(auroc, 3, seeds=1) == "0.700"


def test_latex_and_html_are_escaped(table):
  text = tables.latex(table)
  assert r"B\_1 *" in text
  assert text.count(r"\\") == 4
  page = table_page.page(table)
  assert "a &amp; b &lt; c" in page
  assert "row against row" in page
  assert "<script" not in page
