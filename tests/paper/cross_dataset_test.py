"""Measuring on other sets: what is loaded, refused, kept and asked."""

import dataclasses
import json
import types

import numpy as np
import pytest
from fixtures.stub_member import StubMember
from sklearn import metrics

from apppau_jax.datasets import catalogue as examples
from apppau_jax.datasets import names, splits
from apppau_jax.errors import DataError
from apppau_jax.experiment import data, loading, networks
from apppau_jax.inference.model import Model
from apppau_jax.paper import cross_dataset, sweep
from configs import base

COUNTS = {"montgomery": 6, "shenzhen": 4, "jsrt": 4}


def _ids(dataset, part):
  return tuple(f"{dataset}-{part}{k}" for k in range(COUNTS[dataset]))


def _split(dataset):
  return splits.Split(
    train_labelled=_ids(dataset, "train"),
    train_unlabelled=(),
    validation=_ids(dataset, "validation"),
    test=_ids(dataset, "test"),
  )


def _loaded(config, ids):
  rng = np.random.default_rng(len(ids))
  image = rng.integers(0, 256, (len(ids), 8, 8, 1)).astype(np.uint8)
  count = len(ids)
  return examples.Examples(
    ids=tuple(ids),
    image=image,
    mask=(image > 100).astype(np.uint8),
    label=np.arange(count, dtype=np.int32) % 2,
    has_mask=np.ones(count, bool),
    has_label=np.ones(count, bool),
  )


@pytest.fixture
def world(tmp_path, monkeypatch):
  """Sets without files and networks without weights; counts predictions."""
  asked = []

  def catalogue(config):
    if config.data.dataset == "jsrt" and "jsrt" in world.absent:
      raise DataError("jsrt is not prepared")
    return types.SimpleNamespace(
      class_names=names.class_names(config.data.dataset)
    )

  def logits(image):
    asked.append(len(image))
    return image.astype(float) - 127.5

  def classifier(image, mask):
    tb = image.mean((1, 2, 3)) / 255.0
    return np.stack([0 * tb, tb, mask.mean((1, 2, 3))], axis=1)

  def restore(config, *, workdir):
    both = config.discriminator.enabled
    return Model(
      [StubMember(logits, classifier if both else None)],
      resolution=8,
      batch_size=config.eval.batch_size,
      class_names=networks.class_names(config) if both else (),
    )

  def parts(config, known):
    split = _split(config.data.dataset)
    if config.data.split == "idiap":  # validates on what others test on
      split = dataclasses.replace(
        split, validation=split.test, test=split.validation
      )
    return data.Parts(split=split, classes=())

  monkeypatch.setattr(data, "catalogue", catalogue)
  monkeypatch.setattr(data, "parts", parts)
  monkeypatch.setattr(data, "load", _loaded)
  monkeypatch.setattr(
    data, "content_sha256", lambda config: config.data.dataset
  )
  monkeypatch.setattr(loading, "restore", restore)

  def run(dataset, *, both=True, used=None):
    config = base.get_config()
    config.data.dataset = dataset
    config.discriminator.enabled = both
    config.eval.batch_size = 2
    folder = tmp_path / f"{dataset}-{both}"
    folder.mkdir()
    splits.write_splits(folder / "splits.json", used or _split(dataset))
    cell = types.SimpleNamespace(dataset=dataset, row="A")
    return sweep.Run(cell=cell, seed=0, config=config, folder=folder)

  world = types.SimpleNamespace(run=run, asked=asked, absent=set())
  return world


def test_lungs_everywhere_and_tuberculosis_where_both_know_it(world):
  run = world.run("montgomery")
  own, other, nodules = cross_dataset.measure(
    [run], part="test", datasets=[*COUNTS]
  )
  for cell in (own, other, nodules):
    loaded = _loaded(None, _ids(cell["measured_on"], "test"))
    truth, found = loaded.mask.ravel(), loaded.image.ravel() >= 127.5
    each = [
      metrics.f1_score(m.ravel(), i.ravel() >= 127.5)
      for m, i in zip(loaded.mask, loaded.image)
    ]
    assert truth.sum() > found.sum() > 0
    assert cell["dice"] == pytest.approx(np.mean(each))
    assert cell["n"] == COUNTS[cell["measured_on"]]
    expected = metrics.roc_auc_score(loaded.label, loaded.image.mean((1, 2, 3)))
    if cell is not nodules:
      assert cell["auroc_tb"] == pytest.approx(expected)
  assert nodules["auroc_tb"] is None
  assert nodules["why_not"] == "the set has normal, nodule"


def test_a_segmentor_alone_is_asked_for_lungs_only(world):
  run = world.run("montgomery", both=False)
  (cell,) = cross_dataset.measure([run], part="test", datasets=["shenzhen"])
  assert cell["dice"] is not None
  assert (cell["auroc_tb"], cell["why_not"]) == (
    None,
    "the model names no class",
  )


def test_images_that_trained_a_model_are_refused(world):
  used = splits.Split(
    train_labelled=_ids("montgomery", "train"),
    train_unlabelled=_ids("shenzhen", "test")[:1],
    validation=_ids("montgomery", "validation"),
    test=_ids("montgomery", "test"),
  )
  run = world.run("montgomery", used=used)
  (cell,) = cross_dataset.measure([run], part="test", datasets=["shenzhen"])
  assert cell["dice"] is None
  assert cell["why_not"] == "1 of its images trained it"
  assert not world.asked


def test_a_set_that_is_not_there_stops_nothing(world):
  world.absent.add("jsrt")
  run = world.run("montgomery")
  absent, there = cross_dataset.measure(
    [run], part="test", datasets=["jsrt", "shenzhen"]
  )
  assert (absent["dice"], absent["why_not"]) == (None, "jsrt is not prepared")
  assert there["dice"] is not None
  # Once it is there, it is measured; the other is not measured again.
  before = len(world.asked)
  world.absent.clear()
  again, kept = cross_dataset.measure(
    [run], part="test", datasets=["jsrt", "shenzhen"]
  )
  assert again["dice"] is not None
  assert kept == there
  assert len(world.asked) == before + 2  # four images, two at a time


def test_what_was_measured_on_other_data_is_measured_again(world, monkeypatch):
  run = world.run("montgomery")
  cross_dataset.measure([run], part="test", datasets=["shenzhen"])
  path = run.folder / "eval" / "test" / "on-shenzhen.json"
  assert json.loads(path.read_text())["sha256"] == "shenzhen"
  monkeypatch.setattr(data, "content_sha256", lambda config: "others")
  before = len(world.asked)
  cross_dataset.measure([run], part="test", datasets=["shenzhen"])
  assert len(world.asked) == before + 2


def test_every_run_is_measured_under_its_own_split(world):
  """A set's combination is split otherwise than the set: none may be judged
  by the other's test part, which it may have learnt from."""
  first, second = world.run("montgomery"), world.run("shenzhen")
  first.config.data.split = "idiap"
  used = dataclasses.replace(
    _split("montgomery"), validation=_ids("montgomery", "test"), test=()
  )
  splits.write_splits(first.folder / "splits.json", used)
  measured = cross_dataset.measure(
    [first, second], part="test", datasets=["montgomery"]
  )
  assert [cell["why_not"] for cell in measured] == ["", ""]
  kept = [
    json.loads((run.folder / "eval/test/on-montgomery.json").read_text())
    for run in (first, second)
  ]
  assert [k["ids"] for k in kept] == [
    list(_ids("montgomery", "validation")),
    list(_ids("montgomery", "test")),
  ]
  # Another split later: what is kept is of other images.
  second.config.data.split = "idiap"
  asked = len(world.asked)
  cross_dataset.measure([second], part="test", datasets=["montgomery"])
  assert len(world.asked) > asked
