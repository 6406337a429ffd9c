from xml.etree import ElementTree

import numpy as np

from apppau_jax.reports import classification_figures

LABEL = np.array([0, 0, 0, 1, 1, 1])
TB = np.array([0.1, 0.2, 0.6, 0.45, 0.7, 0.95])
PROBS = np.column_stack([1 - TB, TB])


def _texts(plot, tag):
  return [e.text for e in ElementTree.fromstring(plot.svg).iter(tag)]


def test_roc_states_the_area_of_the_second_class():
  plot = classification_figures.roc(PROBS, LABEL, class_names=["normal", "tb"])
  # From the top: two hits, a miss (.6), the third hit, two misses: 8 / 9.
  assert "tb, area 0.8889" in plot.caption
  assert "normal" not in plot.caption
  assert {"sensitivity", "1 − specificity"} <= {*_texts(plot, "text")}
  again = classification_figures.roc(PROBS, LABEL, class_names=["normal", "tb"])
  assert plot == again


def test_each_of_three_classes_has_a_stroke_and_names_are_escaped():
  names = ["a", '"<b>$x^', "c"]
  probs = np.eye(3)[[0, 1, 2, 0]] * 0.7 + 0.1
  plot = classification_figures.roc(probs, [0, 1, 2, 1], class_names=names)
  strokes = ["Solid: a", 'Dashed: "<b>$x^', "Dotted: c"]
  assert all(stroke in plot.caption for stroke in strokes)
  assert "<b>" not in plot.svg
  label = ElementTree.fromstring(plot.svg).attrib["aria-label"]
  assert label == f"ROC. {plot.caption}"


def test_no_roc_of_a_class_without_images_or_without_others():
  roc = classification_figures.roc
  assert not roc(PROBS, LABEL * 0, class_names=["a", "b"])
  probs = np.eye(3)[[0, 1, 0]]
  plot = roc(probs, [0, 1, 1], class_names=["a", "b", "absent"])
  assert plot.caption.count("area 0.7500") == 2
  assert "absent" not in plot.caption


def test_reliability_has_a_bar_and_a_tooltip_for_each_bin_in_use():
  plot = classification_figures.reliability(PROBS, LABEL)
  # Confidence .55 and .6 (both wrong) | .7 | .8 | .9 | .95.
  bins = [
    ("0.5 to 0.6", "mean 0.5750", "accuracy 0.0000", "of 2 "),
    ("0.6 to 0.7", "mean 0.7000", "accuracy 1.0000", "of 1 "),
    ("0.7 to 0.8", "mean 0.8000", "accuracy 1.0000", "of 1 "),
    ("0.8 to 0.9", "mean 0.9000", "accuracy 1.0000", "of 1 "),
    ("0.9 to 1.0", "mean 0.9500", "accuracy 1.0000", "of 1 "),
  ]
  tooltips = _texts(plot, "title")
  for tooltip, words in zip(tooltips, bins, strict=True):
    assert all(word in tooltip for word in words)
  assert {"2", "1", "accuracy", "confidence"} <= {*_texts(plot, "text")}
