"""A new row of a table is one change of a recipe and one line.

docs/how_to/add_row.md quotes the function. Nothing trains.
"""

import pytest

from apppau_jax.paper import table_rows
from configs import base


def mean_teacher(config):
  """Learn from a mean teacher, Tarvainen and Valpola 2017, without D."""
  config = base.without_discriminator(config)
  config.consistency.name = "mean_teacher"
  return config


@pytest.fixture
def rows(monkeypatch):
  """The rows of Table 2 with the new one."""
  table2 = table_rows._table2

  def longer(dataset, protocol):
    yield from table2(dataset, protocol)
    config = mean_teacher(base.semi_supervised(table_rows._recipe(dataset)))
    yield table_rows.Row(
      name="PPAU-Net with mean teacher, XETV",
      dataset=dataset,
      in_paper=False,
      config=config,
    )

  monkeypatch.setattr(table_rows, "_table2", longer)
  return table_rows.rows(
    "2", protocol="best", datasets=["montgomery"], extra=True
  )


def test_it_is_found_by_its_name_and_differs_by_its_method_alone(rows):
  (new,) = table_rows.select(rows, ["mean teacher"])
  (old,) = table_rows.select(rows, ["PPAU-Net with pseudo-labels, XETV"])
  configs = [
    row.run_config(1, data_dir="data", overrides={}, quick=False).flat()
    for row in (new, old)
  ]
  differences = {
    key for key in configs[0] if configs[0][key] != configs[1][key]
  }
  # The loss weights are those that _set_loss gives to the rows of one table.
  assert differences <= {
    "consistency.name",
    "loss.fp_weight",
    "loss.fn_weight",
  }
  assert configs[0]["consistency.name"] == "mean_teacher"
  assert configs[0]["seed"] == configs[0]["data.label_seed"] == 1


def test_it_belongs_to_the_rows_that_the_paper_lacks(rows):
  assert not table_rows.select(rows, ["mean teacher"])[0].in_paper
