"""Combinations of sets: their examples and their splits."""

import json
from collections import Counter
from itertools import chain

import numpy as np
import pytest

from apppau_jax import phantoms as drawing
from apppau_jax.datasets import catalogue as examples
from apppau_jax.datasets import (
  jsrt,
  published,
  split_protocols,
  splits,
  structures,
)
from apppau_jax.datasets import names as sets
from apppau_jax.datasets.prepare import prepare
from apppau_jax.errors import ConfigError, DataError
from apppau_jax.paper import table3

MC = ("MCUCXR_0001_0", "MCUCXR_0113_1")
SZ = ("CHNCXR_0001_0", "CHNCXR_0025_0", "CHNCXR_0327_1")
JS = ("JPCLN001", "JPCNN001")


@pytest.fixture(scope="module")
def data_dir(raw_sets, tmp_path_factory):
  root = tmp_path_factory.mktemp("data")
  raw = {name: tmp_path_factory.mktemp(name) for name in sets.CCX}
  raw_sets.montgomery(raw["montgomery"], MC)
  raw_sets.shenzhen(raw["shenzhen"], SZ, without=SZ[1:2])
  drawing.write_jsrt(raw["jsrt"], count=2, size=64)
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(jsrt, "SIDE", 64)
    for name, folder in raw.items():
      prepare(name, raw_dir=folder, data_dir=root, allow_missing=True)
  return root


def _catalogue(data_dir, dataset):
  return examples.read_catalogue(data_dir, dataset=dataset, resolution=128)


# Examples.


def test_catalogue_of_a_combination_keeps_the_source(data_dir):
  catalogue = _catalogue(data_dir, "ccx")
  assert catalogue.dataset == "ccx"
  assert catalogue.class_names == ("normal", "tb", "nodule")
  rows = [(e.id, e.label, e.source, e.has_mask) for e in catalogue.entries]
  assert rows == [
    ("CHNCXR_0001_0", 0, "shenzhen", True),
    ("CHNCXR_0025_0", 0, "shenzhen", False),
    ("CHNCXR_0327_1", 1, "shenzhen", True),
    ("JPCLN001", 2, "jsrt", True),
    ("JPCNN001", 0, "jsrt", True),
    ("MCUCXR_0001_0", 0, "montgomery", True),
    ("MCUCXR_0113_1", 1, "montgomery", True),
  ]
  assert catalogue.entries[3].details["subtlety"] == 5
  assert catalogue.entries[0].details == {}


def test_examples_of_a_combination_come_in_the_order_of_ids(data_dir):
  ids = (JS[0], MC[1], SZ[0], JS[1])
  loaded = examples.load_examples(
    data_dir, dataset="jsrt+shenzhen+montgomery", resolution=128, ids=ids,
    masks_of=ids[:2], labels_of=ids[1:],
  )  # fmt: skip
  assert loaded.ids == ids
  assert loaded.label.tolist() == [-1, 1, 0, 0]
  assert loaded.has_mask.tolist() == [True, True, False, False]
  assert not loaded.mask[2:].any()
  for i, dataset in enumerate(("jsrt", "montgomery", "shenzhen", "jsrt")):
    alone = examples.load_examples(
      data_dir, dataset=dataset, resolution=128, ids=[ids[i]]
    )
    np.testing.assert_array_equal(alone.image[0], loaded.image[i])
  all_labels = examples.load_examples(
    data_dir, dataset="ccx", resolution=128, ids=ids
  ).label
  assert all_labels.tolist() == [2, 1, 0, 0]


def test_a_member_that_is_not_prepared_says_its_own_command(data_dir):
  with pytest.raises(DataError, match=r"--dataset=phantom --data_dir"):
    _catalogue(data_dir, "phantom+jsrt")
  with pytest.raises(DataError, match=r"1 ids are not in .* ccx .*: x\."):
    examples.load_examples(data_dir, dataset="ccx", resolution=128, ids=["x"])
  with pytest.raises(ConfigError, match="no dataset 'tb'"):
    _catalogue(data_dir, "jsrt+tb")


def test_sets_that_share_an_id_cannot_be_combined(data_dir, raw_sets, tmp_path):
  for name in ("montgomery", "phantom"):
    raw = raw_sets.montgomery(tmp_path / name, MC)
    prepare(name, raw_dir=raw, data_dir=tmp_path, allow_missing=True)
  with pytest.raises(DataError, match=r"'MCUCXR_0\d+_\d'; ids must be unique"):
    _catalogue(tmp_path, "montgomery+phantom")


def test_checksum_of_a_combination_is_of_its_members(data_dir):
  def checksum(dataset):
    return examples.content_sha256(data_dir, dataset=dataset, resolution=128)

  record = json.loads((data_dir / "jsrt/128/1.0.0/prepare.json").read_text())
  assert checksum("jsrt") == record["content_sha256"]
  names = ("jsrt", "ccx", "montgomery+jsrt", "montgomery+shenzhen")
  assert len({checksum(name) for name in names}) == 4
  assert checksum("jsrt+montgomery") == checksum("montgomery+jsrt")
  assert checksum("ccx") == checksum("jsrt+montgomery+shenzhen")
  assert checksum("phantom") == checksum("phantom+jsrt") == "unknown"


def test_structures_of_a_set_that_outlines_none_are_unknown(data_dir):
  where = {"resolution": 128, "ids": (MC[0], JS[0])}
  names = structures.structure_names("ccx")
  loaded = examples.load_examples(
    data_dir, dataset="ccx", structures=names, **where
  )
  assert loaded.has_mask.tolist() == [False, True]
  assert loaded.mask.shape == (2, 128, 128, 5)
  assert not loaded.mask[0].any()
  lungs = examples.load_examples(data_dir, dataset="ccx", **where)
  assert lungs.has_mask.tolist() == [True, True]
  with pytest.raises(
    ConfigError, match=r"asks for spine, .* offers: left_lung"
  ):
    examples.load_examples(
      data_dir, dataset="ccx", structures=("spine",), **where
    )
  assert structures.structure_names("montgomery+shenzhen") == ()


# Splits.


def _ids(dataset):
  own = (published.published_ids(m) or () for m in sets.members(dataset))
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
    _three(_split(name, dataset=m, seed=seed)) for m in sets.members(dataset)
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
  assert {n: (r.images, r.classes) for n, r in rows.items()} == {
    "montgomery": (138, (80, 58, 0)),
    "shenzhen": (527, (279, 248, 0)),
    "jsrt": (247, (93, 0, 154)),
    "ccx": (912, (452, 306, 154)),
  }
  assert table3.rows(seed=5) == table3.rows()


@pytest.mark.parametrize("seed", [0, 7])
def test_ccx_is_the_union_but_for_one_shenzhen_image(seed):
  parts, union = (
    _three(_split(seed=seed)), _members("paper", dataset="ccx", seed=seed),
  )  # fmt: skip
  assert parts[1] == union[1]
  (moved,) = union[2] - parts[2]
  assert parts[0] - union[0] == {moved}
  assert union[0] < parts[0]
  assert moved.startswith("CHNCXR")
  own_test = _split(dataset="shenzhen", seed=seed).test
  assert moved == split_protocols.moved_in_ccx(own_test, seed=seed)
  assert moved == min(
    own_test, key=lambda i: splits.stratified_split.digest(f"{seed}:ccx", i)
  )


def test_the_names_of_ccx_divide_alike():
  assert _split() == _split(dataset="jsrt+montgomery+shenzhen")


@pytest.mark.parametrize(
  ("name", "dataset"),
  [
    ("paper", "montgomery+shenzhen"),
    ("paper", "jsrt+montgomery"),
    ("idiap", "ccx"),
    ("fold-1-of-5", "ccx"),
  ],
)
def test_combinations_are_the_union_of_their_members_splits(name, dataset):
  parts = _three(_split(name, dataset=dataset))
  assert [*parts] == _members(name, dataset=dataset)


def test_idiap_lists_together_have_their_published_counts():
  parts = _three(_split("idiap", dataset="ccx"))
  # 96 + 396 + 172, 14 + 56 + 25, 28 + 114 + 50
  assert [len(part) for part in parts] == [664, 95, 192]


def test_a_tenth_of_ccx_is_62_images_of_every_set_and_class():
  split = _split(label_fraction=0.1)
  assert len(split.train_labelled) == 62
  train = _three(split)[0]

  def kind(name):
    return name[:3], published.published_label(name)

  everyone, chosen = (
    Counter(map(kind, ids)) for ids in (train, split.train_labelled)
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
  with pytest.raises(DataError, match="appear more than once"):
    _split(ids=[*_ids("ccx"), "JPCLN001"])
  with pytest.raises(ConfigError, match="no Idiap list for phantom"):
    _split("idiap", dataset="jsrt+phantom", ids=[*_ids("jsrt"), *"abc"])
  with pytest.raises(ConfigError, match="no dataset 'nih'"):
    _split(dataset="jsrt+nih", ids=_ids("jsrt"))


def test_a_set_without_a_list_is_divided_beside_one_that_has_one():
  films = {f"film {i}": 1 + (i % 2) for i in range(8)}
  split = splits.make_split(
    "paper", dataset="phantom+jsrt", ids=[*films, *_ids("jsrt")],
    labels=films, groups={}, seed=0,
  )  # fmt: skip
  own = _split(dataset="jsrt")
  for part in ("validation", "test"):
    assert set(getattr(own, part)) == set(getattr(split, part)) - films.keys()
    assert set(getattr(split, part)) & films.keys()
