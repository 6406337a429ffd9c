import re
from xml.etree import ElementTree

import numpy as np

from apppau_jax.reports import diagnosis_figures

LABEL = np.array([0, 0, 0, 1, 1, 1])
TB = np.array([0.1, 0.2, 0.6, 0.45, 0.7, 0.95])
PROBS = np.column_stack([1 - TB, TB])


def _lines(svg, colour="series"):
  drawn = re.findall(rf'<path d="([^"]*)"[^>]*stroke: var\(--{colour}\)', svg)
  return [
    np.array([p.split()[1:] for p in d.strip().splitlines()], dtype=float)
    for d in drawn
  ]


def test_roc_goes_where_the_ranking_sends_it():
  plot = diagnosis_figures.roc(PROBS, LABEL, class_names=["normal", "tb"])
  # From the top: two hits, a miss (.6), the third hit, two misses: 8 / 9.
  assert plot.caption == ("Solid: tb, area 0.8889. Diagonal: chance, area 0.5.")
  (curve,) = _lines(plot.svg)
  ((start, end),) = _lines(plot.svg, "mark")
  unit = (curve - start) / (end - start)
  steps = {(0, 0), (0, 67), (33, 67), (33, 100), (100, 100)}
  assert steps <= {tuple(p) for p in np.rint(100 * unit).astype(int).tolist()}
  assert ElementTree.fromstring(plot.svg).attrib["role"] == "img"


def test_each_of_three_classes_has_a_stroke_and_foreign_names_no_markup():
  names = ["a", '"<b>$x^', "c"]
  probs = np.eye(3)[[0, 1, 2, 0]] * 0.7 + 0.1
  plot = diagnosis_figures.roc(probs, [0, 1, 2, 1], class_names=names)
  assert len(_lines(plot.svg)) == 3
  strokes = ["Solid: a", 'Dashed: "<b>$x^', "Dotted: c"]
  assert all(stroke in plot.caption for stroke in strokes)
  assert "<b>" not in plot.svg
  label = ElementTree.fromstring(plot.svg).attrib["aria-label"]
  assert label == f"ROC. {plot.caption}"


def test_no_roc_without_both_sides():
  assert not diagnosis_figures.roc(PROBS, LABEL * 0, class_names=["a", "b"])
  probs = np.eye(3)[[0, 1, 0]]
  plot = diagnosis_figures.roc(probs, [0, 1, 1], class_names=["a", "b", "c"])
  assert len(_lines(plot.svg)) == 2  # the absent one is left out


def test_reliability_has_a_bar_and_a_tip_for_each_bin_in_use():
  plot = diagnosis_figures.reliability(PROBS, LABEL)
  root = ElementTree.fromstring(plot.svg)
  titles = [e.text for e in root.iter() if e.tag.endswith("title")]
  # Confidence .55 and .6 (both wrong) | .7 | .8 | .9 | .95.
  assert titles == [
    "Confidence 0.5 to 0.6, mean 0.5750: right 0.0000 of 2",
    "Confidence 0.6 to 0.7, mean 0.7000: right 1.0000 of 1",
    "Confidence 0.7 to 0.8, mean 0.8000: right 1.0000 of 1",
    "Confidence 0.8 to 0.9, mean 0.9000: right 1.0000 of 1",
    "Confidence 0.9 to 1.0, mean 0.9500: right 1.0000 of 1",
  ]
  counts = [e.text for e in root.iter() if e.tag.endswith("text")]
  assert {"2", "1"} <= set(counts)


def test_drawings_carry_no_ids_or_links_that_clash():
  roc = diagnosis_figures.roc(PROBS, LABEL, class_names=["a", "b"])
  page = roc.svg + diagnosis_figures.reliability(PROBS, LABEL).svg
  ids = re.findall(r'id="([^"]*)"', page)
  assert len(ids) == len(set(ids))
  assert set(re.findall(r"url\(#([^)]*)\)", page)) == set(ids)
  for foreign in ("<style", "href", "http", "xmlns", "#0102"):
    assert foreign not in page
  assert roc == diagnosis_figures.roc(PROBS, LABEL, class_names=["a", "b"])
