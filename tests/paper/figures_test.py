"""Figures of a sweep: which rows and pairs they show."""

import numpy as np
import pytest

from apppau_jax.errors import DataError
from apppau_jax.inference import prediction_masks
from apppau_jax.paper import figures, sweep_figures, table_rows
from apppau_jax.reports import montage


def _history(dice):
  lines = [{"kind": "train", "step": 1, "loss": 1.0}]
  return lines + [
    {"kind": "validation", "step": 2 * (i + 1), "dice": value}
    for i, value in enumerate(dice)
  ]


def _pair(first, second, p=0.5):
  pair = {"first": first, "second": second, "difference": 0.01}
  return {**pair, "ci95": [0.0, 0.03], "p_holm": p}


@pytest.mark.parametrize(
  ("table", "networks", "losses"),
  [("1", 8, ["TV", "KLTV", "XE", "Dice"]), ("2", 2, ["TV", "XETV", "KLTV"])],
)
def test_networks_share_a_loss_and_losses_a_network(table, networks, losses):
  rows = table_rows.rows(
    table, protocol="paper", datasets=["montgomery"], extra=True
  )
  groups = figures.groups([row.name for row in rows])
  assert len(groups["networks"]) == networks
  assert len({row.split(", ")[1] for row in groups["networks"]}) == 1
  assert [row.split(", ")[1] for row in groups["losses"]] == losses
  assert len({row.split(", ")[0] for row in groups["losses"]}) == 1
  assert figures.groups(["A, TV"]) == {"networks": [], "losses": []}


def test_bands_reach_from_the_lowest_to_the_highest_seed():
  spread = sweep_figures.spread(
    [_history([0.5, 0.7, 0.9]), _history([0.7, 0.9])]
  )
  # The third validation of one seed alone is left out.
  expected = [[2, 0.6, 0.5, 0.7], [4, 0.8, 0.7, 0.9]]
  np.testing.assert_allclose(spread, expected)
  assert sweep_figures.spread([_history([])]).shape == (0, 4)
  assert sweep_figures.spread([]).shape == (0, 4)


def test_curves_have_a_panel_for_each_row_with_validations():
  histories = {f"row {i}": [_history([0.5, 0.8])] for i in range(5)}
  histories["never validated"] = [_history([])]
  text = sweep_figures.curves(histories, title="t")["svg"].decode()
  assert all(f"row {i}" in text for i in range(5))
  assert "never" not in text
  assert sweep_figures.curves({"a": [_history([])]}, title="t") == {}


def test_many_comparisons_are_reduced_to_those_of_the_reference():
  rows = "abcdefg"
  pairs = [_pair(a, b) for a in rows for b in rows if a < b]
  found = sweep_figures.chosen(pairs, reference="c")
  assert [pair["first"] for pair in found] == ["c"] * 6
  assert [pair["second"] for pair in found] == [*"abdefg"]
  # a - c was reversed to c - a.
  assert found[0]["difference"] == -0.01
  assert found[0]["ci95"] == [-0.03, 0.0]
  assert found[2]["difference"] == 0.01
  assert sweep_figures.chosen(pairs[:15], reference="c") == pairs[:15]


def test_the_forest_has_every_pair_with_its_p_value():
  pairs = [_pair("A", "B", p=0.0004), _pair("A", "C", p=0.2)]
  content = sweep_figures.forest(pairs, level=0.05, title="t")
  text = content["svg"].decode()
  for word in ("A  –  B", "A  –  C", "p &lt; 0.001", "p = 0.200"):
    assert word in text
  assert sweep_figures.forest([], level=0.05, title="t") == {}


def test_masks_of_another_evaluation_are_refused(tmp_path):
  film = montage.Film(
    id="a", image=np.zeros((4, 6)), mask=np.ones((4, 6), bool)
  )
  assert figures._masks(tmp_path, [film]) == {}
  path = tmp_path / "predictions.npz"
  for name, shape in (("a", (1, 6, 4)), ("b", (1, 4, 6))):
    prediction_masks.write_predictions(
      path, ids=[name], prediction=np.ones(shape, bool)
    )
    with pytest.raises(DataError, match="another evaluation"):
      figures._masks(tmp_path, [film])
  prediction_masks.write_predictions(
    path, ids=["a"], prediction=film.mask[None]
  )
  np.testing.assert_array_equal(
    figures._masks(tmp_path, [film])["a"], film.mask
  )
