"""The page of a table: everything that it holds, and nothing to load."""

import re

from apppau_jax.paper import table_page, tables
from apppau_jax.paper.printed_numbers import read

EVIL = '<script>alert("1")</script>'


def _cross(why):
  return {
    "trained_on": "montgomery",
    "row": "A",
    "measured_on": "jsrt",
    "seeds": [0],
    "n": 9,
    "dice": {"mean": 0.5, "sd": None, "n": 1},
    "auroc_tb": None,
    "why_not": [why],
  }


def test_blocks_failures_and_figures_are_on_the_page(make_run, reports):
  facts = {
    "title": EVIL,
    "caption": "c",
    "failed": {EVIL: "broken"},
    "cross": [_cross(EVIL)],
    "environment": {"jax": "1", "command": "python -m x"},
  }
  table = tables.make([make_run("A", 0, [0.9, 0.8])], facts=facts)
  figure = table_page.Figure("films", f"Films {EVIL}", {"png": b"\x89PNG"})
  text = table_page.page(table, figures=[figure])
  assert "<script" not in text
  page = reports.page(text)
  assert "Failed, and not in the table" in page.text
  assert [r for r in page.rows if r[0] == "montgomery" and EVIL in r[-1]]
  (image,) = page.attributes("img")
  assert image["src"] == "data:image/png;base64,iVBORw=="
  assert image["alt"] == f"Films {EVIL}"
  assert "films.png" in page.text
  assert "python -m x" in page.text
  assert not re.search(r"https?:|url\(|@import", text)
  policy = page.attributes("meta")[1]
  assert policy["content"].startswith("default-src 'none'")
  assert "Failed" not in table_page.page({**table, "failed": {}})


def test_many_comparisons_are_folded(make_run, reports):
  facts = {"title": "t", "caption": "c", "failed": {}}
  few, many = (
    table_page.page(
      tables.make(
        [make_run(f"R{i}", 0, [0.9, 0.8]) for i in range(n)], facts=facts
      )
    )
    for n in (3, 8)  # rows: 3 and 28 pairs
  )
  assert "<details" not in few
  assert re.findall("<summary>(.*?)</summary>", many) == ["28 lines"]
  assert len(reports.page(many).rows) > 28


def test_the_papers_figure_stands_beside_ours_in_its_own_units(make_run):
  rows = ["U-Net, TV", "U-Net, KLTV"]
  runs = [make_run(r, 0, [0.9], dataset="shenzhen") for r in rows]
  table = tables.make(
    runs, facts={"title": "t", "caption": "c", "table": 1, "failed": {}}
  )
  ours, papers, *_ = tables.blocks(table)
  column = papers.titles.index("paper: JS")
  printed = {
    row["row"]: row["printed"]
    for row in read()["rows"]
    if (row["table"], row["dataset"]) == (1, "shenzhen")
  }
  assert papers.lines[0][column] == str(printed["U-Net, TV"]["js"])
  assert papers.lines[1][column] == "–"  # not at hand, and not made up
  assert "paper: DS" not in papers.titles
  assert not [title for title in ours.titles if "paper" in title]
  # The other table's rows have other names and other figures.
  other = tables.make(
    runs, facts={"title": "t", "caption": "c", "table": 2, "failed": {}}
  )
  assert "paper: JS" not in tables.blocks(other)[1].titles


def test_answers_without_an_image_are_rows(make_run):
  images = [
    {"id": f"i{k}", "dice": 0.9, "label": name}
    for k, name in enumerate(["normal", "normal", "tb"])
  ]
  run = make_run(
    "A",
    0,
    [0.9],
    per_image=images,
    classification={"class_names": ["normal", "tb"], "accuracy": 0.5},
  )
  table = tables.make([run], facts={"title": "t", "caption": "c"})
  block = tables.blocks(table)[0]
  column = block.titles.index("accuracy")
  assert [line[1] for line in block.lines] == ["A", "largest class"]
  assert block.lines[1][2] == "–"  # no seeds
  assert block.lines[1][column] == "0.667"
  # It has no masks: no row of it among the paper's units.
  assert [line[1] for line in tables.blocks(table)[1].lines] == ["A"]
