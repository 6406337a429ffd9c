"""Examples on disk are those in memory, and as little is decoded of them."""

import numpy as np
import pytest

from apppau_jax.datasets import catalogue
from apppau_jax.datasets import examples as stored
from apppau_jax.datasets.prepare import prepare

IDS = ("CHNCXR_0001_0", "CHNCXR_0002_0", "CHNCXR_0025_0", "CHNCXR_0327_1")
WHERE = {"dataset": "shenzhen", "resolution": 128}
FIELDS = ("image", "mask", "label", "has_mask", "has_label")


@pytest.fixture(scope="module")
def data_dir(raw_sets, tmp_path_factory):
  raw = raw_sets.shenzhen(tmp_path_factory.mktemp("raw"), IDS, without=IDS[2:3])
  root = tmp_path_factory.mktemp("data")
  prepare("shenzhen", raw_dir=raw, data_dir=root, allow_missing=True)
  return root


def _both(data_dir, **known):
  order = (IDS[3], IDS[0], IDS[2], IDS[1])
  known = {"ids": order, **WHERE, **known}
  return (
    catalogue.load_examples(data_dir, **known),
    catalogue.open_examples(data_dir, **known),
  )


def _assert_equal(a, b):
  assert a.ids == b.ids
  for name in FIELDS:
    np.testing.assert_array_equal(getattr(a, name), getattr(b, name))
    assert getattr(a, name).dtype == getattr(b, name).dtype


def test_any_rows_in_any_order_are_the_same(data_dir, raw_sets):
  loaded, disk = _both(data_dir)
  assert loaded.ids == disk.ids == (IDS[3], IDS[0], IDS[2], IDS[1])
  np.testing.assert_array_equal(loaded.label, disk.label)
  for rows in ([0, 1, 2, 3], [3, 3, 0], [2]):
    _assert_equal(loaded.take(rows), disk.take(rows))
  assert loaded.take([3, 3, 0]).ids == (IDS[1], IDS[1], IDS[3])
  chosen = [np.array([i % 4, (i + 1) % 4]) for i in range(30)]
  for a, b in zip(loaded.batches(chosen), disk.batches(chosen), strict=True):
    _assert_equal(a, b)


def test_pictures_that_may_not_be_seen_are_not_decoded(data_dir, monkeypatch):
  _, disk = _both(data_dir, masks_of=[IDS[0], IDS[2]], labels_of=[IDS[3]])
  assert disk.label.tolist() == [1, -1, -1, -1]
  assert disk.has_mask.tolist() == [False, True, False, False]
  read = disk.records.read(disk.places)
  named = {id(r["image"]): "image" for r in read}
  decoded = []
  plain = stored.read_prepared
  monkeypatch.setattr(disk.records, "read", lambda places: [
    read[disk.places.index(p)] for p in places
  ])  # fmt: skip

  def spy(png, **form):
    decoded.append(named.get(id(png), "mask"))
    return plain(png, **form)

  monkeypatch.setattr(stored, "read_prepared", spy)
  batch = disk.take([0, 1, 2, 3])
  assert sorted(decoded) == ["image"] * 4 + ["mask"]
  assert batch.mask.any(axis=(1, 2, 3)).tolist() == [False, True, False, False]
