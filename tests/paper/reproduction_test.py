"""A sweep: its runs, failures, signals, shared runs and its table."""

import copy
import json
import os
import signal
import subprocess
import sys
import types

import pytest

from apppau_jax.errors import (
  ConfigError,
  DataError,
  Interrupted,
  OccupiedError,
  UserError,
)
from apppau_jax.experiment import run_folder
from apppau_jax.paper import printed_numbers, reproduction, sweep, workers


class World:
  """A sweep of three rows and two seeds whose trainings are written files."""

  def __init__(self, out):
    self.out, self.trained, self.drawn = out, [], []

  def plan(self, **changes):
    return sweep.Sweep(
      **{
        "table": "2",
        "protocol": "best",
        "datasets": ["montgomery"],
        "seeds": ["0", "1"],
        "out": self.out,
        "extra": False,
      }
      | changes
    )

  def run(self, *, errors=None, data="d", count=1, command=(), **changes):
    """Runs the sweep; `errors` by (loss, seed) are raised by its trainings."""

    def train(config, folder):
      name = (config.loss.name, config.seed)
      self.trained.append(name)
      if name in (errors or {}):
        raise errors[name]
      _train(config, folder, data=data)

    def draw(done, table, *, out, reference):
      self.drawn.append((len(done), reference))
      return []

    reproduction.reproduce(
      self.plan(**changes),
      count=count,
      command=command,
      train=train,
      draw=draw,
    )

  @property
  def table(self):
    return json.loads((self.out / "table.json").read_text())


def _train(config, folder, *, data):
  config = copy.deepcopy(config)
  if config.data.split == "auto":  # as a run settles it
    config.data.split, config.data.class_names = "paper", ("a", "b")
  run_folder.claim(folder, config.to_dict())
  (folder / "checkpoints" / "latest" / "7").mkdir(parents=True)
  (folder / "eval" / "validation").mkdir(parents=True)
  dice = 0.5 + 0.01 * len(config.loss.name)
  report = {
    "segmentation": {"dice": {"mean": dice}},
    "paper_compat": {"js_pixel_accuracy": 0.9, "hausdorff_rows": 3.0},
    "data_sha256": data,
    "per_image": [{"id": f"i{k}", "dice": dice} for k in range(3)],
  }
  path = folder / "eval" / "validation" / "report.json"
  path.write_text(json.dumps(report))
  (folder / "manifest.json").write_text(json.dumps({"status": "done"}))


@pytest.fixture
def world(tmp_path):
  return World(tmp_path)


def test_all_rows_and_a_table_with_the_printed_numbers(world):
  world.run()
  assert len(world.trained) == 6
  table = world.table
  assert [row["seeds"] for row in table["rows"]] == [[0, 1]] * 3
  assert len(table["comparisons"]) == 3
  assert table["part"] == "validation"
  assert "optimistic" in table["caption"]
  paper = printed_numbers.find(
    "2", dataset="montgomery", name="APPAU-Net, KLTV"
  )
  assert table["rows"][2]["printed"] == paper.values
  for name in ("table.md", "table.tex", "table.html"):
    text = (world.out / name).read_text()
    assert "0.900 ± 0.000 / 0.950".replace("±", _sign(name)) in text
  assert world.drawn == [(6, "APPAU-Net, KLTV")]  # once, at the end
  world.run()  # nothing remains
  assert len(world.trained) == 6


KILLED = """
import os, pathlib, runpy, signal, sys
names = runpy.run_path(sys.argv[1])
world, replace = names["World"](pathlib.Path(sys.argv[2])), os.replace

def replace_or_die(old, new):
  if pathlib.Path(new).name == "table.json" and len(world.trained) == 2:
    os.kill(os.getpid(), signal.SIGKILL)
  replace(old, new)

os.replace = replace_or_die
world.run()
"""


def test_a_killed_sweep_goes_on(world):
  """Killed while it writes the table after its second run."""
  command = [sys.executable, "-c", KILLED, __file__, str(world.out)]
  environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
  done = subprocess.run(command, env=environment, check=False)
  assert done.returncode == -signal.SIGKILL
  assert [*world.out.glob(".*.partial")]
  assert [row["seeds"] for row in world.table["rows"]] == [[0]]
  world.run()
  assert len(world.trained) == 4
  assert [row["seeds"] for row in world.table["rows"]] == [[0, 1]] * 3
  assert not [*world.out.rglob(".*.partial")]


def _sign(name):
  return r"$\pm$" if name.endswith("tex") else "±"


def test_a_users_own_set_keeps_the_classes_and_split_of_its_runs(world):
  for _ in range(2):
    world.run(datasets=["folder:mine"], seeds=["0"])
  assert len(world.trained) == 3
  assert [row["seeds"] for row in world.table["rows"]] == [[0]] * 3


def test_runs_on_different_images_are_reported(world):
  world.run(seeds=["0"])
  assert "CAUTION" not in world.table["caption"]
  world.run(seeds=["0", "1"], data="other")
  assert "CAUTION: the runs on montgomery" in world.table["caption"]


@pytest.mark.parametrize("error", [DataError("no data"), ValueError("no data")])
def test_a_failure_stops_nothing_else_and_is_retried(world, error):
  failing = dict.fromkeys([("tversky", 0), ("tversky", 1)], error)
  with pytest.raises(UserError, match="2 of 6 runs failed") as caught:
    world.run(errors=failing)
  reason = "no data" if isinstance(error, UserError) else repr(error)
  name = "montgomery, APPAU-Net, TV, seed"
  assert f"{name} 0; {name} 1: {reason}" in str(caught.value)
  assert len(world.trained) == 6
  assert list(world.table["failed"]) == [f"{name} 0", f"{name} 1"]
  world.run()
  assert world.trained[6:] == [("tversky", 0), ("tversky", 1)]
  assert world.table["failed"] == {}


def test_a_signal_ends_the_sweep_and_the_rest_follows_later(world):
  with pytest.raises(Interrupted):
    world.run(errors={("kl_tversky", 0): Interrupted("stopped", 15)})
  assert len(world.trained) == 3
  world.run()
  assert len(world.trained) == 3 + 4


def test_runs_of_another_process_are_left_to_it(world, capsys):
  occupied = {("tversky", 1): OccupiedError("another process is training")}
  world.run(errors=occupied)
  assert len(world.trained) == 6
  assert (world.table["failed"], world.table["rows"][0]["seeds"]) == ({}, [0])
  assert "1 of 6 runs" in capsys.readouterr().out
  assert world.drawn == []  # the last process draws the figures
  world.run()
  assert world.trained[6:] == [("tversky", 1)]
  assert len(world.drawn) == 1
  # With workers of its own nobody else is left.
  command = [sys.executable, "-c", ""]
  occupied = {("tversky", 2): OccupiedError("another process is training")}
  with pytest.raises(UserError, match="not finished by any worker"):
    world.run(errors=occupied, seeds=["2"], count=2, command=command)


def test_workers_are_awaited_or_terminated(tmp_path, monkeypatch):
  monkeypatch.delenv("XLA_PYTHON_CLIENT_MEM_FRACTION", raising=False)
  code = "import os, time; print(os.environ['{}'], flush=True); time.sleep({})"
  share = "XLA_PYTHON_CLIENT_MEM_FRACTION"
  command = [sys.executable, "-c", code.format(share, 0)]
  with workers.sharing(command, count=3, logs=tmp_path):
    pass
  logs = [path.read_text() for path in sorted(tmp_path.iterdir())]
  assert logs == ["0.300\n"] * 2
  with (
    pytest.raises(Interrupted),
    workers.sharing(
      [sys.executable, "-c", code.format(share, 600)], count=2, logs=tmp_path
    ),
  ):
    raise Interrupted("stopped", 15)
  assert os.environ[share] == "0.300"


def test_a_run_of_another_configuration_is_refused(world):
  world.run()
  with pytest.raises(ConfigError, match="another configuration"):
    world.run(overrides=["model.base_width=2"])
  assert len(world.trained) == 6


def test_the_caption_names_every_deviation(world):
  world.run(
    seeds=["0"],
    protocol="paper:quick",
    overrides=["model.base_width=8"],
    texts=["KLTV"],
  )
  (path,) = world.out.glob("runs/table2-paper/*/*/seed-0/config.json")
  assert json.loads(path.read_text())["train"]["epochs"] == 2
  table = world.table
  assert (table["protocol"], table["quick"]) == ("paper", True)
  assert [row["row"] for row in table["rows"]] == ["APPAU-Net, KLTV"]
  for words in ("not a result", "model.base_width=8", "contains KLTV"):
    assert words in table["caption"]


@pytest.mark.parametrize("seeds", [["0", "0"], ["a"], ["-1"], []])
def test_seeds_are_different_whole_numbers(world, seeds):
  with pytest.raises(ConfigError, match="--seeds"):
    world.plan(seeds=seeds).runs  # noqa: B018


def test_missing_data_of_all_sets_are_an_error(world):
  prepared = set()

  def open_dataset(config):
    if config.data.dataset not in prepared:
      raise DataError(f"not prepared: {config.data.dataset}")

  def check(*datasets):
    plan = world.plan(datasets=datasets)
    reproduction.check_data(plan, open_dataset=open_dataset)

  with pytest.raises(DataError, match="not prepared: montgomery"):
    check("montgomery", "jsrt")
  check("montgomery", "phantom")  # drawn by its run
  prepared.add("jsrt")
  check("montgomery", "jsrt")


def test_the_remaining_time_is_estimated(world, capsys):
  runs = world.plan(seeds=["0"]).runs
  times = iter([0.0, 600.0, 1200.0])
  sweep.train(runs, fit=lambda config, folder: None, now=lambda: next(times))
  lines = capsys.readouterr().err.splitlines()
  # A run takes 10 minutes: two are left, then one.
  expected = ("unknown", "20 min", "10 min")
  assert all(word in line for word, line in zip(expected, lines, strict=True))


def test_a_dry_run_times_each_row_once(world, capsys):
  losses = []

  def cost(config, *, images, timed):
    losses.append((config.loss.name, images, timed))
    return types.SimpleNamespace(step_seconds=0.5)

  plan = world.plan(overrides=["train.epochs=30", "train.batch_size=16"])
  reproduction.estimate(plan, settle=lambda config: (config, 32), cost=cost)
  names = ("tversky", "cross_entropy_tversky", "kl_tversky")
  assert losses == [(name, 32, True) for name in names]
  first, *lines, last = capsys.readouterr().out.splitlines()
  assert first.startswith("6 runs of 3 rows")
  assert len(lines) == 6
  # 30 epochs of two steps of half a second.
  assert all(
    "60 steps of 0.50 s" in line and "0.5 min" in line for line in lines
  )
  assert last.startswith("6 runs, about 3 min")


def test_the_command_checks_the_paper_without_data_or_folder():
  done = subprocess.run(
    [sys.executable, "-m", "launch.reproduce", "--forensics"],
    capture_output=True,
    text=True,
    check=True,
  )
  assert done.stdout == printed_numbers.markdown()
