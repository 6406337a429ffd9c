"""Curves, comparisons and matrices: what they show and leave out."""

import re

import numpy as np
import pytest

from apppau_jax.paper import sweep_figures
from apppau_jax.reports import figure_style


def _history(dice, *, every=2):
  lines = [{"kind": "train", "step": 1, "loss": 1.0}]
  return lines + [
    {"kind": "validation", "step": every * (i + 1), "dice": value}
    for i, value in enumerate(dice)
  ]


def _pair(first, second, *, difference=0.01, p=0.5):
  return {
    "first": first,
    "second": second,
    "difference": difference,
    "ci95": [difference - 0.01, difference + 0.02],
    "p_holm": p,
  }


def _text(content):
  return content["svg"].decode()


def test_bands_run_from_the_lowest_to_the_highest_seed():
  spread = sweep_figures.spread(
    [_history([0.5, 0.7, 0.9]), _history([0.7, 0.9])]
  )
  # The third validation of one seed alone is left out.
  expected = [[2, 0.6, 0.5, 0.7], [4, 0.8, 0.7, 0.9]]
  np.testing.assert_allclose(spread, expected)
  assert sweep_figures.spread([_history([])]).shape == (0, 4)
  assert sweep_figures.spread([]).shape == (0, 4)


def test_a_panel_a_row():
  histories = {f"row {i}": [_history([0.5, 0.8])] for i in range(5)}
  histories["never validated"] = [_history([])]
  text = _text(sweep_figures.curves(histories, title="t"))
  assert all(f"row {i}" in text for i in range(5))
  assert "never" not in text
  assert sweep_figures.curves({"a": [_history([])]}, title="t") == {}


def test_many_comparisons_are_reduced_to_those_of_the_reference():
  rows = "abcdefg"
  pairs = [_pair(a, b) for a in rows for b in rows if a < b]
  assert len(pairs) == 21
  found = sweep_figures.chosen(pairs, reference="c")
  assert [pair["first"] for pair in found] == ["c"] * 6
  assert [pair["second"] for pair in found] == [*"abdefg"]
  # a - c was turned round to c - a.
  assert found[0]["difference"] == pytest.approx(-0.01)
  assert found[0]["ci95"] == pytest.approx([-0.03, 0.0])
  assert found[2]["difference"] == pytest.approx(0.01)
  assert sweep_figures.chosen(pairs[:15], reference="c") == pairs[:15]


def test_only_what_is_shown_is_in_colour():
  pairs = [_pair("A", "B", p=0.0004), _pair("A", "C", p=0.2)]
  text = _text(sweep_figures.forest(pairs, level=0.05, title="t"))
  assert "p &lt; .001" in text
  assert "p = 0.200" in text
  assert "A  –  B" in text
  colours = re.findall(r"stroke: (#\w{6}); stroke-width: 1.6", text)
  assert colours == [figure_style.BLUE, figure_style.GREY]
  assert sweep_figures.forest([], level=0.05, title="t") == {}


def test_a_matrix_has_its_numbers_and_dashes():
  values = np.array([[0.9, np.nan], [0.5, 1.0]])
  text = _text(
    sweep_figures.heat_map(
      values, rows=["r", "s"], columns=["x", "y"], low=0.5, title="Dice"
    )
  )
  for word in ("0.900", "0.500", "1.000", "–", "measured on"):
    assert f">{word}<" in text
