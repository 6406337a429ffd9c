"""Combinations of sets: their examples, their splits, and the ccx builder."""

import json
from collections import Counter
from itertools import chain

import numpy as np
import pytest
import tensorflow_datasets as tfds

from apppau_jax import phantoms
from apppau_jax.datasets import (
  builder,
  ccx,
  jsrt,
  registry,
  splits,
  stratified_split,
)
from apppau_jax.datasets.dataset import Dataset
from apppau_jax.datasets.prepare import prepare
from apppau_jax.errors import ConfigError, DataError
from apppau_jax.paper import table3

MC = ("MCUCXR_0001_0", "MCUCXR_0113_1")
SZ = ("CHNCXR_0001_0", "CHNCXR_0025_0", "CHNCXR_0327_1")
JS = ("JPCLN001", "JPCNN001")


@pytest.fixture(scope="module")
def raw(raw_sets, tmp_path_factory):
  """One folder that holds all three sets."""
  root = tmp_path_factory.mktemp("raw")
  raw_sets.montgomery(root, MC)
  raw_sets.shenzhen(root, SZ, without=SZ[1:2])
  phantoms.write_jsrt(root, count=2, size=64)
  return root


@pytest.fixture(scope="module")
def data_dir(raw, tmp_path_factory):
  root = tmp_path_factory.mktemp("data")
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(jsrt, "SIDE", 64)
    for name in ccx.MEMBERS:
      prepare(name, raw_dir=raw, data_dir=root, allow_missing=True)
  return root


@pytest.fixture(scope="module")
def opened(data_dir):
  return Dataset("ccx", data_dir=data_dir)


# Examples.


def test_entries_of_a_combination_keep_their_source(opened):
  assert opened.class_names == ("normal", "tb", "nodule")
  rows = [(e.id, e.label, e.source, e.has_mask) for e in opened.entries]
  assert rows == [
    ("CHNCXR_0001_0", 0, "shenzhen", True),
    ("CHNCXR_0025_0", 0, "shenzhen", False),
    ("CHNCXR_0327_1", 1, "shenzhen", True),
    ("JPCLN001", 2, "jsrt", True),
    ("JPCNN001", 0, "jsrt", True),
    ("MCUCXR_0001_0", 0, "montgomery", True),
    ("MCUCXR_0113_1", 1, "montgomery", True),
  ]
  assert opened.entries[3].details["subtlety"] == 5
  assert opened.entries[0].details == {}
  assert opened.patients["JPCLN001"] == "jsrt/JPCLN001"


def test_examples_of_a_combination_come_in_the_order_of_ids(opened, data_dir):
  ids = (JS[0], MC[1], SZ[0], JS[1])
  loaded = opened.open(ids, masks_of=ids[:2], labels_of=ids[1:])
  assert loaded.ids == ids
  assert loaded.label.tolist() == [-1, 1, 0, 0]
  assert loaded.has_mask.tolist() == [True, True, False, False]
  assert not loaded.mask[2:].any()
  for i, name in enumerate(("jsrt", "montgomery", "shenzhen", "jsrt")):
    alone = Dataset(name, data_dir=data_dir).open([ids[i]])
    np.testing.assert_array_equal(alone.image[0], loaded.image[i])
  assert opened.open(ids).label.tolist() == [2, 1, 0, 0]


def test_a_member_that_is_not_prepared_is_named(data_dir, opened):
  with pytest.raises(DataError, match=r"--dataset=phantom --data_dir"):
    Dataset("phantom+jsrt", data_dir=data_dir)
  with pytest.raises(DataError, match=r"1 ids .* ccx .*: x\."):
    opened.open(["x"])


def test_sets_that_share_an_id_cannot_be_combined(raw_sets, tmp_path):
  for name in ("montgomery", "phantom"):
    raw = raw_sets.montgomery(tmp_path / name, MC)
    prepare(name, raw_dir=raw, data_dir=tmp_path, allow_missing=True)
  both = Dataset("montgomery+phantom", data_dir=tmp_path)
  with pytest.raises(DataError, match=r"'MCUCXR_0\d+_\d'; ids must be unique"):
    _ = both.entries


def test_checksum_of_a_combination_is_of_its_members(data_dir):
  def checksum(name):
    return Dataset(name, data_dir=data_dir).content_sha256

  record = json.loads((data_dir / "jsrt/128/1.0.0/prepare.json").read_text())
  assert checksum("jsrt") == record["content_sha256"]
  names = ("jsrt", "ccx", "montgomery+jsrt", "montgomery+shenzhen")
  assert len({checksum(name) for name in names}) == 4
  assert checksum("jsrt+montgomery") == checksum("montgomery+jsrt")
  assert checksum("ccx") == checksum("jsrt+montgomery+shenzhen")


def test_structures_of_a_set_that_outlines_none_are_unknown(opened):
  names = registry.structure_names("ccx")
  loaded = opened.open((MC[0], JS[0]), structures=names)
  assert loaded.has_mask.tolist() == [False, True]
  assert loaded.mask.shape == (2, 128, 128, 5)
  assert not loaded.mask[0].any()
  assert opened.open((MC[0], JS[0])).has_mask.all()
  with pytest.raises(ConfigError, match=r"spine.*left_lung"):
    opened.open((MC[0],), structures=("spine",))


# The builder.


@pytest.mark.parametrize("apart", [False, True])
def test_the_builder_writes_the_examples_of_the_view(
  raw, opened, tmp_path, monkeypatch, apart
):
  monkeypatch.setattr(jsrt, "SIDE", 64)
  raw_dir = dict.fromkeys(ccx.MEMBERS, raw) if apart else raw
  made = builder.builder_class("ccx")(
    raw_dir=raw_dir, data_dir=tmp_path, config="128", allow_missing=True
  )
  made.download_and_prepare(
    download_config=tfds.download.DownloadConfig(try_download_gcs=False)
  )
  assert made.name == "ccx"
  assert tuple(made.info.features["label"].names) == opened.class_names
  records = {r["id"].decode(): r for r in made.as_data_source(split="full")}
  assert tuple(sorted(records)) == opened.ids
  loaded = opened.open(opened.ids)
  whole = opened.open(opened.ids, structures=registry.structure_names("ccx"))
  for i, entry in enumerate(opened.entries):
    record = records[entry.id]
    np.testing.assert_array_equal(record["image"], loaded.image[i])
    np.testing.assert_array_equal(record["mask"], loaded.mask[i])
    bits = record["structures"] >> np.arange(5, dtype=np.uint8) & 1
    np.testing.assert_array_equal(bits, whole.mask[i])
    assert bool(record["has_structures"]) == whole.has_mask[i]
    for name in ("label", "has_mask", "height", "width"):
      assert record[name] == getattr(entry, name)
    for name in ("patient", "sex", "age", "finding", "source"):
      assert record[name].decode() == getattr(entry, name)
    expected = {**jsrt.DETAILS, **entry.details}
    for name, value in expected.items():
      text = record[name].decode() if isinstance(value, str) else record[name]
      assert text == value


# Splits.


def _ids(dataset):
  own = (registry.spec(m).masked_ids or () for m in registry.members(dataset))
  return [*chain(*own)]


def _split(name="paper", *, dataset="ccx", ids=None, seed=0, **which):
  return splits.make_split(
    name, dataset=dataset, ids=_ids(dataset) if ids is None else ids,
    labels={}, groups={}, seed=seed, **which,
  )  # fmt: skip


def _three(split):
  train = {*split.train_labelled, *split.train_unlabelled}
  return train, set(split.validation), set(split.test)


def _members(name, *, dataset, seed=0):
  """The parts of the members' own splits, together."""
  own = [
    _three(_split(name, dataset=m, seed=seed))
    for m in registry.members(dataset)
  ]
  return [set.union(*parts) for parts in zip(*own)]


def test_table_3_as_the_paper_has_it():
  rows = {row.dataset: row for row in table3.rows()}
  parts = {n: (r.train, r.validation, r.test) for n, r in rows.items()}
  assert parts == {
    "montgomery": (93, 10, 35),
    "shenzhen": (355, 40, 132),
    "jsrt": (166, 19, 62),
    "ccx": (615, 69, 228),
  }
  assert parts["ccx"] == ccx.PAPER_COUNTS
  assert {n: (r.images, r.classes) for n, r in rows.items()} == {
    "montgomery": (138, (80, 58, 0)),
    "shenzhen": (527, (279, 248, 0)),
    "jsrt": (247, (93, 0, 154)),
    "ccx": (912, (452, 306, 154)),
  }
  assert table3.rows(seed=5) == table3.rows()


@pytest.mark.parametrize("seed", [0, 7])
def test_ccx_is_the_union_but_for_one_shenzhen_image(seed):
  parts = _three(_split(seed=seed))
  union = _members("paper", dataset="ccx", seed=seed)
  assert parts[1] == union[1]
  (moved,) = union[2] - parts[2]
  assert parts[0] - union[0] == {moved}
  assert union[0] < parts[0]
  own_test = _split(dataset="shenzhen", seed=seed).test
  assert moved == min(
    own_test, key=lambda i: stratified_split.digest(f"{seed}:ccx", i)
  )
  assert _split() == _split(dataset="jsrt+montgomery+shenzhen")


@pytest.mark.parametrize(
  ("name", "dataset"),
  [
    ("paper", "montgomery+shenzhen"),
    ("idiap", "ccx"),
    ("fold-1-of-5", "ccx"),
  ],
)
def test_combinations_are_the_union_of_their_members_splits(name, dataset):
  parts = _three(_split(name, dataset=dataset))
  assert [*parts] == _members(name, dataset=dataset)


def test_a_tenth_of_ccx_is_62_images_of_every_set_and_class():
  split = _split(label_fraction=0.1)
  assert len(split.train_labelled) == 62

  def kind(name):
    return name[:5] if name.startswith("JPC") else (name[:3], name[-1])

  everyone, chosen = (
    Counter(map(kind, ids)) for ids in (_three(split)[0], split.train_labelled)
  )
  assert len(chosen) == len(everyone) == 6
  for key, count in everyone.items():
    assert abs(chosen[key] - count / 10) <= 1


def test_missing_files_move_no_image_of_a_combination():
  complete, ids = _split(label_fraction=0.3), _ids("ccx")
  here = set(ids[::3])
  partial = _split(ids=ids[::3], label_fraction=0.3)
  for part, names in complete.as_dict().items():
    assert getattr(partial, part) == tuple(n for n in names if n in here)


def test_combinations_that_cannot_be_divided_are_refused():
  with pytest.raises(DataError, match="first 'stranger'"):
    _split(ids=[*_ids("ccx"), "stranger"])
  with pytest.raises(DataError, match="more than once"):
    _split(ids=[*_ids("ccx"), "JPCLN001"])
  with pytest.raises(ConfigError, match="no Idiap list for phantom"):
    _split("idiap", dataset="jsrt+phantom", ids=[*_ids("jsrt"), *"abc"])


def test_a_set_without_a_list_is_divided_beside_one_that_has_one():
  images = {f"image {i}": 1 + (i % 2) for i in range(8)}
  split = splits.make_split(
    "paper", dataset="phantom+jsrt", ids=[*images, *_ids("jsrt")],
    labels=images, groups={}, seed=0,
  )  # fmt: skip
  own = _split(dataset="jsrt")
  for part in ("validation", "test"):
    assert set(getattr(own, part)) == set(getattr(split, part)) - images.keys()
    assert set(getattr(split, part)) & images.keys()
