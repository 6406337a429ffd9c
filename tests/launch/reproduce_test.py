"""launch.reproduce from its flags to the written table."""

import json
import subprocess
import sys

import numpy as np
import pytest

SET = ("model.base_width=2", "train.batch_size=4", "optim.learning_rate=0.01")


def _reproduce(data_dir, out, *flags):
  """Train two seeds of a U-Net for eight steps; return the table and words."""
  done = subprocess.run(
    [
      *(sys.executable, "-m", "launch.reproduce", "--table=1"),
      *("--protocol=best:quick", "--datasets=phantom", "--row=U-Net, TV"),
      *("--noextra", "--seeds=0,1", f"--out={out}", f"--data_dir={data_dir}"),
      *(f"--set={text}" for text in SET),
      *flags,
    ],
    capture_output=True,
    text=True,
    check=False,
  )
  assert done.returncode == 0, done.stderr
  table = json.loads((out / "table.json").read_text())
  return table, done.stdout + done.stderr


@pytest.mark.slow
def test_seeds_in_one_program_give_the_table_of_seeds_alone(data_dir, tmp_path):
  """Within rounding, since the program is another."""
  alone, words = _reproduce(data_dir, tmp_path / "alone")
  assert words.count("epoch 2/2") == 2  # two trainings
  together, words = _reproduce(
    data_dir, tmp_path / "together", "--seeds_per_program=2"
  )
  assert words.count("epoch 2/2") == 1
  (expected,), (found,) = alone["rows"], together["rows"]
  assert found["seeds"] == expected["seeds"] == [0, 1]
  assert found["values"]["segmentation.dice"]["sd"] > 0
  for name, value in expected["values"].items():
    for key in ("mean", "sd"):
      np.testing.assert_allclose(
        found["values"][name][key],
        value[key],
        rtol=0.01,
        atol=0.01,
        err_msg=f"{name}, {key}",
      )
