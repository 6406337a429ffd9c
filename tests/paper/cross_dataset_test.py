"""Measuring on other data sets: what is opened, refused, kept and computed."""

import json
import types

import numpy as np
import pytest
from sklearn import metrics

from apppau_jax.datasets import registry
from apppau_jax.errors import DataError
from apppau_jax.paper import cross_dataset, cross_dataset_table, sweep
from configs import base

COUNTS = {"montgomery": 6, "shenzhen": 4, "jsrt": 4}
TB = ("normal", "tb")
ALL = ("normal", "tb", "nodule")


def _split(dataset):
  ids = {
    part: [f"{dataset}-{part}{k}" for k in range(COUNTS[dataset])]
    for part in ("train_labelled", "validation", "test")
  }
  return {**ids, "train_unlabelled": []}


class World:
  """Data sets without files and networks without weights."""

  def __init__(self, folder):
    self.folder, self.absent = folder, set()
    self.opened, self.predicted, self.sha256 = [], 0, "first"

  def run(self, dataset, *, classifies=True, **split):
    config = base.get_config()
    config.data.dataset = dataset
    config.discriminator.enabled = classifies
    folder = self.folder / dataset
    folder.mkdir(exist_ok=True)
    text = json.dumps({**_split(dataset), **split})
    (folder / "splits.json").write_text(text)
    row = types.SimpleNamespace(dataset=dataset, name="A")
    return sweep.Run(row=row, seed=0, config=config, folder=folder)

  def open_target(self, config, part):
    dataset = config.data.dataset
    if dataset in self.absent:
      raise DataError(f"{dataset} is not prepared")
    self.opened.append((dataset, config.data.split))
    if config.data.split == "idiap":  # it validates on what others test on
      part = {"test": "validation", "validation": "test"}[part]
    ids = _split(dataset)[part]
    label = np.arange(len(ids)) % 2
    return cross_dataset.Target(
      source=types.SimpleNamespace(ids=tuple(ids), label=label),
      sha256=self.sha256,
      classes=registry.class_names(dataset),
    )

  def predict(self, run, source):
    self.predicted += 1
    count = len(source.ids)
    logits = np.random.default_rng(count).normal(size=(count, 3))
    dice = np.linspace(0.5, 0.9, count)
    return dice, logits if run.config.discriminator.enabled else None

  def measure(self, *runs, datasets):
    return cross_dataset.measure(
      runs,
      part="test",
      datasets=datasets,
      open_target=self.open_target,
      predict=self.predict,
    )


@pytest.fixture
def world(tmp_path):
  return World(tmp_path)


def test_lungs_everywhere_and_tuberculosis_where_both_have_it(world):
  run = world.run("montgomery")
  own, other, nodules = world.measure(run, datasets=[*COUNTS])
  for found in (own, other, nodules):
    assert found["dice"] == pytest.approx(0.7)
    assert found["n"] == COUNTS[found["measured_on"]]
  for found in (own, other):
    target = types.SimpleNamespace(ids=range(found["n"]))
    logits = world.predict(run, target)[1][:, :2]
    probs = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    label = np.arange(found["n"]) % 2
    expected = metrics.roc_auc_score(label, probs[:, 1])
    assert found["auroc_tb"] == pytest.approx(expected)
  assert nodules["auroc_tb"] is None
  assert "nodule" in nodules["why_not"]


def test_a_segmentor_alone_has_dice_only(world):
  run = world.run("montgomery", classifies=False)
  (found,) = world.measure(run, datasets=["shenzhen"])
  assert found["dice"] is not None
  assert found["auroc_tb"] is None
  assert found["why_not"]


def test_images_that_trained_a_model_are_refused(world):
  ids = _split("montgomery")["test"]
  run = world.run("montgomery", train_unlabelled=ids[:1], test=ids[1:])
  (found,) = world.measure(run, datasets=["montgomery"])
  assert found["dice"] is None
  assert found["why_not"] == "1 of its images trained it"
  assert not world.predicted


def test_a_missing_set_stops_nothing_and_results_are_kept(world):
  world.absent.add("jsrt")
  run, datasets = world.run("montgomery"), ["jsrt", "shenzhen"]
  absent, there = world.measure(run, datasets=datasets)
  assert (absent["dice"], absent["why_not"]) == (None, "jsrt is not prepared")
  assert there["dice"] is not None
  world.absent.clear()
  again, kept = world.measure(run, datasets=datasets)
  assert again["dice"] is not None
  assert kept == there
  assert world.predicted == 2
  world.sha256 = "prepared again"
  world.measure(run, datasets=datasets)
  assert world.predicted == 4


def test_every_run_is_measured_under_its_own_split(world):
  """A run must not be measured on another split's test part, since it may have
  trained on it."""
  first = world.run(
    "montgomery", validation=_split("montgomery")["test"], test=[]
  )
  first.config.data.split = "idiap"
  second = world.run("shenzhen")
  measured = world.measure(first, second, datasets=["montgomery"])
  assert [found["why_not"] for found in measured] == ["", ""]
  kept = [
    json.loads((run.folder / "eval/test/on-montgomery.json").read_text())
    for run in (first, second)
  ]
  ids = [_split("montgomery")[part] for part in ("validation", "test")]
  assert [k["ids"] for k in kept] == ids
  # With another split the kept result is of other images.
  second.config.data.split = "idiap"
  world.measure(second, datasets=["montgomery"])
  assert world.predicted == 3


def test_auroc_of_tuberculosis_for_any_order_of_classes():
  rng = np.random.default_rng(0)
  probs = rng.dirichlet(np.ones(3), 40).round(1)  # ties count a half
  label = rng.integers(-1, 2, 40)
  given = label >= 0
  expected = metrics.roc_auc_score(label[given] == 1, probs[given, 1])
  for order in ([0, 1, 2], [2, 0, 1]):
    value, reason = cross_dataset_table.tb_auroc(
      probs[:, order],
      label,
      model_classes=[ALL[i] for i in order],
      set_classes=TB,
    )
    assert value == pytest.approx(expected)
    assert reason == ""


@pytest.mark.parametrize(
  ("model", "set_classes", "label", "reason"),
  [
    (("normal", "nodule"), TB, [0, 1], "the model has"),
    (TB, ("normal", "nodule"), [0, 1], "the set has"),
    (TB, TB, [0, 0], "one class"),
    (TB, TB, [-1, 1], "one class"),
    (None, TB, [0, 1], "does not classify"),
  ],
)
def test_classes_that_differ_are_never_compared(
  model, set_classes, label, reason
):
  value, why_not = cross_dataset_table.tb_auroc(
    np.array([[0.2, 0.8], [0.7, 0.3]]) if model else None,
    np.array(label),
    model_classes=model or (),
    set_classes=set_classes,
  )
  assert value is None
  assert reason in why_not


def _one(on, seed, dice, auroc=None, why=""):
  return {
    **{"trained_on": "mc", "row": "A", "measured_on": on, "seed": seed},
    **{"n": 7 if dice else None, "dice": dice},
    **{"auroc_tb": auroc, "why_not": why},
  }


def test_seeds_are_averaged_and_reasons_given_once():
  own, other, absent = cross_dataset_table.summarise(
    [
      _one("mc", 1, 0.9, 0.75),
      _one("sz", 1, 0.7, why="no"),
      _one("jsrt", 1, None, why="not prepared"),
      _one("mc", 0, 0.8, 0.25),
      _one("sz", 0, 0.7, why="no"),
    ]
  )
  assert own["seeds"] == [0, 1]
  assert own["dice"] == pytest.approx(
    {"mean": 0.85, "sd": 0.05 * 2**0.5, "n": 2}
  )
  assert own["auroc_tb"]["mean"] == pytest.approx(0.5)
  assert (other["auroc_tb"], other["why_not"]) == (None, ["no"])
  assert (absent["dice"], absent["n"], absent["seeds"]) == (None, None, [])
