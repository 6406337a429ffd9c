"""Which rows are laid side by side."""

import pytest

from apppau_jax.paper import figures, table_rows


@pytest.mark.parametrize(
  ("table", "networks", "losses"),
  [
    (1, 8, ["TV", "KLTV", "XE", "Dice"]),
    (2, 2, ["TV", "XETV", "KLTV"]),
  ],
)
def test_networks_share_a_loss_and_losses_a_network(table, networks, losses):
  found = table_rows.cells(
    table, protocol="paper", datasets=["montgomery"], extra=True
  )
  groups = figures.groups([cell.row for cell in found])
  assert len(groups["networks"]) == networks
  assert len({row.split(", ")[1] for row in groups["networks"]}) == 1
  assert [row.split(", ")[1] for row in groups["losses"]] == losses
  assert len({row.split(", ")[0] for row in groups["losses"]}) == 1


def test_one_row_is_beside_nothing():
  assert figures.groups(["A, TV"]) == {"networks": [], "losses": []}
  assert figures.groups([]) == {"networks": [], "losses": []}
