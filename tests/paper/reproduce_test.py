"""The sweep: which runs, in which folders, what a failure or a kill leaves."""

import copy
import json
import os
import subprocess
import sys
import types

import pytest
from absl import flags
from absl.testing import flagsaver

from apppau_jax.errors import (
  ConfigError,
  DataError,
  Interrupted,
  OccupiedError,
  UserError,
)
from apppau_jax.experiment import data as assembled_data
from apppau_jax.experiment import fit, run_folder, schema
from apppau_jax.paper import figures, table_rows, workers
from apppau_jax.paper import sweep as sweep_lib
from launch import reproduce


def test_the_paper_has_six_rows_and_three():
  def rows(table, extra):
    found = table_rows.cells(
      table, protocol="paper", datasets=["montgomery"], extra=extra
    )
    return [cell.row for cell in found]

  assert rows(1, False) == [
    "U-Net, TV",
    "U-Net, KLTV",
    "Attention U-Net, TV",
    "Attention U-Net, KLTV",
    "PPAU-Net, TV",
    "PPAU-Net, KLTV",
  ]
  assert rows(2, False) == [
    "APPAU-Net, TV",
    "APPAU-Net, XETV",
    "APPAU-Net, KLTV",
  ]
  # Cross-entropy and Dice, and the five presets that are not among the three.
  assert len(rows(1, True)) == 6 + 2 + 5
  assert len(set(rows(1, True))) == 13
  assert len(rows(2, True)) == 4


def test_our_recipe_is_taken_apart():
  found = table_rows.cells(
    2, protocol="best", datasets=["shenzhen"], extra=True
  )
  configs = {cell.row: cell.config for cell in found}
  whole = configs["APPAU-Net, KLTV"]
  assert whole.adversarial.form == "nonsaturating"
  assert whole.consistency.name == "pseudo_label"
  assert whole.discriminator.class_weight > 0
  differ = {
    row: {
      key
      for key, value in schema.flatten(config.to_dict()).items()
      if value != schema.flatten(whole.to_dict())[key]
    }
    for row, config in configs.items()
    if "without" in row
  }
  assert differ == {
    "APPAU-Net without adversarial term, KLTV": {"adversarial.form"},
    "APPAU-Net without classes, KLTV": {
      "discriminator.class_weight",
      "discriminator.predicted_weight",
      "discriminator.consistency_weight",
    },
    "APPAU-Net without pseudo-labels, KLTV": {
      "consistency.name",
      "discriminator.consistency_weight",
    },
  }


def test_rows_are_chosen_by_parts_of_their_names():
  every = table_rows.cells(
    2, protocol="best", datasets=["ccx", "jsrt"], extra=True
  )
  assert table_rows.named(every, []) == every
  assert [
    (c.dataset, c.row) for c in table_rows.named(every, ["SUPER", ", TV"])
  ] == [
    ("ccx", "APPAU-Net, TV"),
    ("ccx", "PPAU-Net supervised only, XETV"),
    ("jsrt", "APPAU-Net, TV"),
    ("jsrt", "PPAU-Net supervised only, XETV"),
  ]
  with pytest.raises(ConfigError, match=r"--row=U-Net\+\+ .*supervised only"):
    table_rows.named(every, ["APPAU", "U-Net++"])


def test_a_whole_name_is_that_row_alone():
  every = table_rows.cells(1, protocol="best", datasets=["jsrt"], extra=True)
  (one,) = table_rows.named(every, ["u-net, kltv"])
  assert one.row == "U-Net, KLTV"
  rows = {
    cell.row for cell in table_rows.named(every, ["U-Net, TV", "U-Net, X"])
  }
  assert rows == {"U-Net, TV", "PPAU-Net, XE"}


def test_presets_are_named_as_in_print():
  every = table_rows.cells(1, protocol="best", datasets=["jsrt"], extra=True)
  rows = [c.row.removesuffix(", KLTV") for c in every if "KLTV" in c.row]
  assert rows == [
    "U-Net",
    "Attention U-Net",
    "PPAU-Net",
    "Pyramid U-Net",
    "Progressive U-Net",
    "Pyramid progressive U-Net",
    "Pyramid attention U-Net",
    "Progressive attention U-Net",
  ]


@pytest.mark.parametrize("protocol", table_rows.PROTOCOLS)
@pytest.mark.parametrize("table", [1, 2])
def test_cells_are_what_their_names_say(table, protocol):
  found = table_rows.cells(
    table, protocol=protocol, datasets=["montgomery", "shenzhen"], extra=True
  )
  losses = {
    "TV": "tversky",
    "KLTV": "kl_tversky",
    "XETV": "cross_entropy_tversky",
    "XE": "cross_entropy",
    "Dice": "dice",
  }
  for cell in found:
    config = cell.seeded(
      3, data_dir="d", overrides={"model.base_width": 8}, quick=True
    )
    assert config.loss.fn_weight == 0.7
    assert config.data.data_dir == "d"
    assert config.loss.name == losses[cell.row.split(", ")[1]]
    assert config.data.dataset == cell.dataset
    assert (config.seed, config.data.label_seed) == (3, 3)
    assert config.model.base_width == 8
    assert cell.config.model.base_width != 8  # the cell itself is untouched
    assert config.discriminator.enabled == cell.row.startswith("APPAU")
    all_of_them = table == 1 or "with all" in cell.row
    assert config.data.label_fraction == (1.0 if all_of_them else 0.1)


def test_overrides_are_read_and_checked():
  given = [
    "model.base_width=8",
    "data.split=idiap",
    "data.unmasked_images=True",
  ]
  assert table_rows.parse_overrides(given) == {
    "model.base_width": 8,
    "data.split": "idiap",
    "data.unmasked_images": True,
  }
  with pytest.raises(ConfigError, match=r"Did you mean model.base_width"):
    table_rows.parse_overrides(["model.base_widht=8"])
  with pytest.raises(ConfigError, match="tells the cells apart"):
    table_rows.parse_overrides(["seed=5"])
  (cell, *_) = table_rows.cells(
    1, protocol="best", datasets=["ccx"], extra=False
  )
  assert not cell.config.discriminator.enabled
  assert cell.config.consistency.name == "none"
  for bad in ("model.base_width=abc", "train.epochs=1.5"):
    with pytest.raises(ConfigError, match="cannot be used"):
      cell.seeded(
        0,
        data_dir="d",
        overrides=table_rows.parse_overrides([bad]),
        quick=False,
      )
  for protocol in table_rows.PROTOCOLS:
    with pytest.raises(ConfigError, match="no dataset 'nowhere'"):
      table_rows.cells(2, protocol=protocol, datasets=["nowhere"], extra=False)


@pytest.mark.parametrize("protocol", table_rows.PROTOCOLS)
@pytest.mark.parametrize("dataset", ["montgomery+shenzhen", "folder:mine"])
def test_any_set_has_its_cells(dataset, protocol):
  for table in (1, 2):
    for cell in table_rows.cells(
      table, protocol=protocol, datasets=[dataset], extra=True
    ):
      config = cell.seeded(0, data_dir="d", overrides={}, quick=False)
      assert config.data.dataset == dataset
      schema.check(schema.flatten(config.to_dict()))
      if protocol == "best":
        assert config.augment.rotate_degrees > 0  # a lung recipe


@pytest.fixture
def sweep(tmp_path, monkeypatch):
  """Returns a function that runs a sweep of three cells and two seeds."""
  ran, drawn = [], []

  def start(
    *, fail=(), stop=(), seeds=("0", "1"), data_of=lambda seed: "d", **more
  ):
    def run(config, folder):
      name = (config.loss.name, config.seed)
      ran.append(name)
      if name in stop:
        raise Interrupted("stopped", 15)
      if name in fail:
        raise fail[name]
      config = copy.deepcopy(config)
      if config.data.split == "auto":  # as `data.settled` does
        config.data.split, config.data.class_names = "paper", ("a", "b")
      run_folder.claim(folder, config.to_dict())
      (folder / "checkpoints" / "latest" / "7").mkdir(parents=True)
      (folder / "eval" / "validation").mkdir(parents=True)
      gain = 0.01 * len(config.loss.name)
      report = {
        "segmentation": {"dice": {"mean": 0.5 + gain}},
        "paper_compat": {},
        "parameters": {"segmentor": 5},
        "data_sha256": data_of(config.seed),
        "per_image": [
          {"id": f"i{k}", "dice": 0.5 + gain + 0.001 * k} for k in range(9)
        ],
      }
      path = folder / "eval" / "validation" / "report.json"
      path.write_text(json.dumps(report))
      (folder / "manifest.json").write_text(json.dumps({"status": "done"}))

    monkeypatch.setattr(fit, "run", run)

    def draw(done, table, *, out, reference):
      assert reference == "APPAU-Net, KLTV"
      drawn.append(len(done))
      return []

    monkeypatch.setattr(figures, "draw", draw)
    monkeypatch.setattr(reproduce, "_look_for_data", lambda runs: None)
    if not flags.FLAGS.is_parsed():
      flags.FLAGS.mark_as_parsed()
    with flagsaver.flagsaver(
      out=str(tmp_path), table="2", seeds=list(seeds), extra=False, **more
    ):
      reproduce.main()

  start.ran, start.drawn = ran, drawn
  start.out = tmp_path
  return start


def test_all_cells_and_a_table(sweep):
  sweep()
  assert len(sweep.ran) == 6
  table = json.loads((sweep.out / "table.json").read_text())
  assert [row["seeds"] for row in table["rows"]] == [[0, 1]] * 3
  assert len(table["comparisons"]) == 3
  assert table["part"] == "validation"
  assert "flatter" in table["caption"]
  for name in ("table.md", "table.tex", "table.html"):
    assert "KLTV" in (sweep.out / name).read_text()
  assert sweep.drawn == [6]  # once, at the end


def test_a_set_of_ones_own_is_swept(sweep):
  """Its runs keep the classes and the split that the set told them."""
  for _ in range(2):
    sweep(datasets=["folder:mine"], seeds=["0"])
  assert len(sweep.ran) == 3
  table = json.loads((sweep.out / "table.json").read_text())
  assert sum(bool(row["seeds"]) for row in table["rows"]) == 3


def test_runs_on_other_data_are_told(sweep):
  sweep(data_of=lambda seed: f"prepared {min(seed, 1)} times", seeds=["0"])
  caption = json.loads((sweep.out / "table.json").read_text())["caption"]
  assert "CAUTION" not in caption
  sweep(data_of=lambda seed: f"prepared {min(seed, 1)} times")
  caption = json.loads((sweep.out / "table.json").read_text())["caption"]
  assert "CAUTION: the runs on montgomery were measured on different" in caption


def test_finished_runs_are_not_run_again(sweep):
  sweep()
  sweep()
  assert len(sweep.ran) == 6


def test_a_failure_stops_nothing_else_and_is_retried(sweep):
  with pytest.raises(UserError, match=r"1 of 6 runs failed[\s\S]*no data"):
    sweep(fail={("tversky", 1): DataError("no data for it")})
  assert len(sweep.ran) == 6
  table = json.loads((sweep.out / "table.json").read_text())
  assert list(table["failed"]) == ["montgomery, APPAU-Net, TV, seed 1"]
  assert table["rows"][0]["seeds"] == [0]
  sweep()
  assert sweep.ran[6:] == [("tversky", 1)]
  assert json.loads((sweep.out / "table.json").read_text())["failed"] == {}


def test_what_is_no_users_mistake_stops_nothing_else_either(sweep):
  with pytest.raises(UserError, match=r"1 of 6 runs failed[\s\S]*ValueError"):
    sweep(fail={("kl_tversky", 0): ValueError("odd")})
  assert len(sweep.ran) == 6


def test_no_data_at_all_is_told_at_once(monkeypatch):
  at_hand = set()

  def open_dataset(dataset):
    if dataset not in at_hand:
      raise DataError(f"not prepared: {dataset}")

  def look(*datasets):
    reproduce._look_for_data(
      [
        types.SimpleNamespace(cell=types.SimpleNamespace(dataset=d), config=d)
        for d in datasets
      ]
    )

  monkeypatch.setattr(assembled_data, "open_dataset", open_dataset)
  with pytest.raises(DataError, match="not prepared: montgomery"):
    look("montgomery", "montgomery", "jsrt")
  look("montgomery", "phantom")  # drawn when its turn comes
  at_hand.add("jsrt")
  look("montgomery", "jsrt")  # montgomery's runs fail, the others are made


def test_a_reason_is_told_once(sweep):
  lost = DataError("no data")
  with pytest.raises(UserError) as told:
    sweep(fail=dict.fromkeys([("tversky", 0), ("tversky", 1)], lost))
  assert str(told.value).count("no data") == 1
  assert "seed 0; montgomery, APPAU-Net, TV, seed 1: no data" in str(told.value)


def test_what_another_process_is_at_is_left_to_it(sweep, capsys):
  other = {("tversky", 1): OccupiedError("another process is training")}
  sweep(fail=other)
  assert len(sweep.ran) == 6
  table = json.loads((sweep.out / "table.json").read_text())
  assert (table["failed"], table["rows"][0]["seeds"]) == ({}, [0])
  assert "1 of 6 runs are other processes'" in capsys.readouterr().out
  assert sweep.drawn == []  # whoever is last draws the figures
  sweep()
  assert (sweep.ran[6:], sweep.drawn) == ([("tversky", 1)], [6])


def test_several_workers_are_this_command_again(sweep, monkeypatch):
  started, ended = [], []

  class Process:
    def __init__(self, command, **more):
      started.append(command)

    def wait(self):
      ended.append(len(sweep.ran))

    def terminate(self):
      ended.append("terminated")

  fake = types.SimpleNamespace(Popen=Process, STDOUT=subprocess.STDOUT)
  monkeypatch.setattr(workers, "subprocess", fake)
  monkeypatch.setattr(sys, "argv", ["reproduce", "--table=2"])
  monkeypatch.delenv("XLA_PYTHON_CLIENT_MEM_FRACTION", raising=False)
  stuck = {("tversky", 1): OccupiedError("another process is training")}
  with pytest.raises(UserError, match=r"1 of 6 runs failed[\s\S]*any worker"):
    sweep(workers=3, fail=stuck)
  command = [sys.executable, "-m", "launch.reproduce", "--table=2", "--helper"]
  assert started == [command] * 2
  assert ended == [6, 6]
  assert os.environ["XLA_PYTHON_CLIENT_MEM_FRACTION"] == "0.300"
  with pytest.raises(Interrupted):
    sweep(workers=2, stop=[("tversky", 1)])
  assert ended[2] == "terminated"


def test_a_helper_writes_no_table(sweep):
  with pytest.raises(SystemExit) as end:
    sweep(helper=True)
  assert end.value.code == 0
  assert len(sweep.ran) == 6
  assert not (sweep.out / "table.json").exists()


def test_another_configuration_in_the_same_folder_is_refused(sweep):
  sweep()
  with pytest.raises(ConfigError, match="another configuration"):
    sweep(set=["model.base_width=2"])
  assert len(sweep.ran) == 6


@pytest.mark.parametrize("protocol", ["letter", "paper:slow", "paper:", ""])
def test_protocols_are_two_and_may_be_quick(sweep, protocol):
  with pytest.raises(ConfigError, match=r"paper or best.*paper:quick"):
    sweep(protocol=protocol)


def test_quick_shrinks_every_run_and_says_so(sweep):
  sweep(protocol="paper:quick")
  (path, *_) = sweep.out.glob("runs/table2-paper/*/*/seed-0/config.json")
  assert json.loads(path.read_text())["train"]["epochs"] == 2
  table = json.loads((sweep.out / "table.json").read_text())
  assert (table["protocol"], table["quick"]) == ("paper", True)
  assert "not a result" in table["caption"]


def test_the_caption_names_every_deviation(sweep):
  sweep(seeds=["0"], set=["model.base_width=8", "train.epochs=30"])
  caption = json.loads((sweep.out / "table.json").read_text())["caption"]
  assert "in every run: model.base_width=8, train.epochs=30." in caption


def test_only_the_rows_asked_for_are_run_and_shown(sweep):
  sweep(seeds=["0"])
  sweep(seeds=["0"], row=["KLTV"])  # what is done stays done
  assert len(sweep.ran) == 3
  table = json.loads((sweep.out / "table.json").read_text())
  assert [row["row"] for row in table["rows"] if row["seeds"]] == [
    "APPAU-Net, KLTV"
  ]
  assert "Only rows with KLTV in their name." in table["caption"]


def test_the_board_says_what_became_of_each_run(sweep):
  sweep(seeds=["0"])
  if not flags.FLAGS.is_parsed():
    flags.FLAGS.mark_as_parsed()
  with flagsaver.flagsaver(
    out=str(sweep.out), table="2", seeds=["0", "1"], extra=False
  ):
    runs = reproduce._runs(sweep.out)
  failed = {runs[4].name: "broken"}
  board = sweep_lib.board(runs, running=runs[3], failed=failed)
  columns = [list(column.cells) for column in board.columns]
  assert columns[1] == ["APPAU-Net, TV", "APPAU-Net, XETV", "APPAU-Net, KLTV"]
  assert columns[2] == ["0.5700", "0.7100", "0.6000"]
  assert columns[3] == ["running", "failed", "·"]


@pytest.mark.parametrize("seeds", [["0", "0"], ["a"], ["-1"], []])
def test_seeds_are_different_whole_numbers(sweep, seeds):
  with pytest.raises(ConfigError, match="different whole numbers"):
    sweep(seeds=seeds)


def test_a_signal_ends_the_sweep_and_the_rest_follows_later(sweep):
  with pytest.raises(Interrupted):
    sweep(stop=[("kl_tversky", 0)])
  assert len(sweep.ran) == 3
  sweep()
  assert len(sweep.ran) == 3 + 4
