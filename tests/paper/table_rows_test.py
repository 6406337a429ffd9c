"""Rows of the tables: names, configurations, selection, overrides."""

import pytest

from apppau_jax.config import Config
from apppau_jax.errors import ConfigError
from apppau_jax.paper import table_rows


def _rows(table, *datasets, protocol="best", extra=True):
  return table_rows.rows(
    table, protocol=protocol, datasets=datasets or ("jsrt",), extra=extra
  )


def test_the_paper_has_six_rows_and_three():
  def names(table, extra):
    return [r.name for r in _rows(table, protocol="paper", extra=extra)]

  networks = ("U-Net", "Attention U-Net", "PPAU-Net")
  both = [
    f"{network}, {loss}" for network in networks for loss in ("TV", "KLTV")
  ]
  assert names("1", False) == both
  assert names("2", False) == [
    f"APPAU-Net, {n}" for n in ("TV", "XETV", "KLTV")
  ]
  # Cross-entropy and Dice, and the five presets that are not among the three.
  assert len(set(names("1", True))) == len(names("1", True)) == 6 + 2 + 5
  assert len(names("2", True)) == 4


def test_ablations_change_what_their_names_say():
  configs = {
    row.name: Config.from_dict(row.config.to_dict()).flat()
    for row in _rows("2")
  }
  whole = configs["APPAU-Net, KLTV"]
  assert whole["consistency.name"] == "pseudo_label"
  assert whole["discriminator.class_weight"] > 0
  differ = {
    name.removeprefix("APPAU-Net without "): {
      key for key, value in config.items() if value != whole[key]
    }
    for name, config in configs.items()
    if "without" in name
  }
  d = "discriminator."
  assert differ == {
    "adversarial term, KLTV": {"adversarial.form"},
    "classes, KLTV": {
      *(d + "class_weight", d + "predicted_weight", d + "consistency_weight")
    },
    "pseudo-labels, KLTV": {"consistency.name", d + "consistency_weight"},
  }


def test_rows_are_selected_by_parts_of_their_names_or_a_whole_name():
  every = _rows("2", "ccx", "jsrt")
  assert table_rows.select(every, []) == every
  found = table_rows.select(every, ["SUPER", ", TV"])
  assert [(row.dataset, row.name) for row in found] == [
    (dataset, name)
    for dataset in ("ccx", "jsrt")
    for name in ("APPAU-Net, TV", "PPAU-Net supervised only, XETV")
  ]
  (one,) = table_rows.select(_rows("1"), ["u-net, kltv"])
  assert one.name == "U-Net, KLTV"
  with pytest.raises(ConfigError, match=r"--row=U-Net\+\+.*supervised only"):
    table_rows.select(every, ["APPAU", "U-Net++"])


@pytest.mark.parametrize("protocol", table_rows.PROTOCOLS)
@pytest.mark.parametrize("table", ["1", "2"])
def test_configurations_are_what_the_names_say(table, protocol):
  losses = {
    "TV": "tversky",
    "KLTV": "kl_tversky",
    "XETV": "cross_entropy_tversky",
    "XE": "cross_entropy",
    "Dice": "dice",
  }
  datasets = ("montgomery", "montgomery+shenzhen", "folder:mine")
  for row in _rows(table, *datasets, protocol=protocol):
    config = row.run_config(
      3, data_dir="d", overrides={"model.base_width": 8}, quick=True
    )
    Config.from_dict(config.to_dict()).check()
    assert config.loss.name == losses[row.name.split(", ")[1]]
    assert config.loss.fn_weight == 0.7
    assert (config.data.data_dir, config.data.dataset) == ("d", row.dataset)
    assert (config.seed, config.data.label_seed) == (3, 3)
    assert (config.model.base_width, config.train.epochs) == (8, 2)
    assert row.config.model.base_width != 8  # the row itself is unchanged
    assert config.discriminator.enabled == row.name.startswith("APPAU")
    all_of_them = table == "1" or "with all" in row.name
    assert config.data.label_fraction == (1.0 if all_of_them else 0.1)


def test_overrides_are_read_and_checked():
  given = [
    "model.base_width=8",
    "data.split=idiap",
    "eval.largest_components=2",
  ]
  given.append("data.unmasked_images=True")
  assert [*table_rows.parse_overrides(given).values()] == [8, "idiap", 2, True]
  for bad, reason in (
    ("model.base_widht=8", "model.base_width"),
    ("seed=5", "--seeds"),
    ("model.base_width", "key=value"),
  ):
    with pytest.raises(ConfigError, match=reason):
      table_rows.parse_overrides([bad])
  row = _rows("1")[0]
  for bad in ("model.base_width=abc", "train.epochs=1.5"):
    overrides = table_rows.parse_overrides([bad])
    with pytest.raises(ConfigError, match=bad.split("=")[0]):
      row.run_config(0, data_dir="d", overrides=overrides, quick=False)
  with pytest.raises(ConfigError, match="nowhere"):
    _rows("2", "nowhere")


@pytest.mark.parametrize("text", ["letter", "paper:slow", "paper:", ""])
def test_protocols_are_two_and_may_be_quick(text):
  assert table_rows.parse_protocol("best:quick") == ("best", True)
  with pytest.raises(ConfigError, match=r"paper.*best"):
    table_rows.parse_protocol(text)


def test_the_methods_are_compared_on_equal_terms():
  """From the box and from scratch; seeds choose folds."""
  rows = _rows("semi", "montgomery")
  assert len({row.name for row in rows}) == len(rows) == 2 * (2 * 8 + 3 * 2 + 1)
  equal = {"train.epochs", "train.batch_size", "optim.learning_rate"}
  seen = set()
  for row in rows:
    config = row.run_config(4, data_dir="d", overrides={}, quick=False)
    flat = Config.from_dict(config.to_dict()).flat()
    assert flat["data.split"] == "fold-1-of-3"
    assert flat["data.label_seed"] == flat["seed"] == 4
    assert row.name.split(", ")[1].split(" ")[0] == (
      str(flat["data.label_count"] or "all")
    )
    assert ("scratch" in row.name) == (flat["train.start_from"] == "none")
    supervised = flat["train.unlabelled_in_batch"] == 0
    assert supervised == row.name.startswith("supervised")
    seen.add(tuple(flat[key] for key in sorted(equal)))
  assert len(seen) == 1
  for bad in ({"protocol": "paper"}, {"datasets": ("jsrt",)}):
    with pytest.raises(ConfigError, match="--table=semi"):
      table_rows.rows(
        "semi",
        **{"protocol": "best", "datasets": ("montgomery",), "extra": True}
        | bad,
      )
