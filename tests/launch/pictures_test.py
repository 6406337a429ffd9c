"""Which rows are laid side by side."""

import pytest

from launch import cells, pictures


@pytest.mark.parametrize(
  ("table", "networks", "losses"),
  [
    (1, 8, ["TV", "KLTV", "XE", "Dice"]),
    (2, 2, ["TV", "XETV", "KLTV"]),
  ],
)
def test_networks_share_a_loss_and_losses_a_network(table, networks, losses):
  found = cells.cells(
    table, protocol="paper", datasets=["montgomery"], extra=True
  )
  groups = pictures.groups([cell.row for cell in found])
  assert len(groups["networks"]) == networks
  assert len({row.split(", ")[1] for row in groups["networks"]}) == 1
  assert [row.split(", ")[1] for row in groups["losses"]] == losses
  assert len({row.split(", ")[0] for row in groups["losses"]}) == 1


def test_one_row_is_beside_nothing():
  assert pictures.groups(["A, TV"]) == {"networks": [], "losses": []}
  assert pictures.groups([]) == {"networks": [], "losses": []}
