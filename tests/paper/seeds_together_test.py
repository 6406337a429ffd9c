"""Which seeds train together, and what happens if they cannot."""

import dataclasses
import pathlib
import types

import pytest

from apppau_jax.errors import ConfigError, Interrupted
from apppau_jax.paper import seeds_together


@dataclasses.dataclass(eq=False)
class _Run:
  row: types.SimpleNamespace
  seed: int
  done: bool = False

  @property
  def folder(self):
    return pathlib.Path(f"{self.row.name}/{self.seed}")

  @property
  def config(self):
    return f"{self.row.name} {self.seed}"

  def is_done(self):
    return self.done


class _Sweep:
  """Two rows of five seeds, seed by seed, as a sweep orders them."""

  def __init__(self, *, error=None):
    rows = [types.SimpleNamespace(name=name) for name in "ab"]
    self.runs = [_Run(row, seed) for seed in range(5) for row in rows]
    self.groups, self.fitted, self.error = [], [], error

  def together(self, configs, folders):
    assert [str(f).replace("/", " ") for f in folders] == configs
    self.groups.append(configs)
    if self.error is not None:
      raise self.error

  def fit(self, config, folder):
    del folder
    self.fitted.append(config)
    next(run for run in self.runs if run.config == config).done = True

  def train(self, *, count):
    train = seeds_together.trainer(
      self.runs, count=count, fit=self.fit, together=self.together
    )
    for run in self.runs:
      if not run.done:
        train(run.config, run.folder)


def test_seeds_of_a_row_train_together_and_each_is_measured():
  sweep = _Sweep()
  sweep.train(count=3)
  first = [["a 0", "a 1", "a 2"], ["b 0", "b 1", "b 2"]]
  rest = [["a 3", "a 4"], ["b 3", "b 4"]]
  assert sweep.groups == first + rest
  assert sweep.fitted == [run.config for run in sweep.runs]


def test_finished_runs_are_left_out():
  sweep = _Sweep()
  sweep.runs[2].done = True  # a 1
  sweep.train(count=2)
  # What remains alone trains alone: seed 0 and seed 4 of a, seed 4 of b.
  assert sweep.groups == [["b 0", "b 1"], ["a 2", "a 3"], ["b 2", "b 3"]]
  assert "a 1" not in sweep.fitted
  assert len(sweep.fitted) == 9


def test_a_group_that_cannot_trains_one_by_one(capsys):
  sweep = _Sweep(error=ConfigError("the runs differ"))
  sweep.train(count=5)
  assert len(sweep.groups) == 2  # each is tried once
  assert len(sweep.fitted) == 10
  assert "the runs differ" in capsys.readouterr().err


def test_a_signal_ends_the_sweep():
  sweep = _Sweep(error=Interrupted("stopped", 15))
  with pytest.raises(Interrupted):
    sweep.train(count=5)
  assert sweep.fitted == []


def test_one_seed_a_program_is_the_ordinary_way():
  fit = object()
  assert seeds_together.trainer([], count=1, fit=fit) is fit
