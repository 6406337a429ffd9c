"""What a prepared data set holds, and its examples in memory and on disk."""

import shutil

import numpy as np
import pytest

from apppau_jax import datasets
from apppau_jax.datasets import examples, prepared
from apppau_jax.datasets.dataset import Dataset
from apppau_jax.datasets.prepare import prepare
from apppau_jax.errors import ConfigError, DataError
from apppau_jax.imaging import resample

IDS = ("CHNCXR_0001_0", "CHNCXR_0002_0", "CHNCXR_0025_0", "CHNCXR_0327_1")
ORDER = (IDS[3], IDS[0], IDS[2], IDS[1])
FIELDS = ("image", "mask", "label", "has_mask", "has_label")


@pytest.fixture(scope="module")
def raw(raw_sets, tmp_path_factory):
  root = tmp_path_factory.mktemp("raw")
  return raw_sets.shenzhen(root, IDS, without=["CHNCXR_0025_0"])


@pytest.fixture(scope="module")
def data_dir(raw, tmp_path_factory):
  root = tmp_path_factory.mktemp("data")
  prepare("shenzhen", raw_dir=raw, data_dir=root, allow_missing=True)
  return root


@pytest.fixture(scope="module")
def dataset(data_dir):
  return Dataset("shenzhen", data_dir=data_dir)


def test_entries_are_sorted_and_complete(dataset):
  assert isinstance(dataset, datasets.Dataset)
  assert dataset.class_names == ("normal", "tb")
  assert dataset.ids == IDS
  assert dataset.labels == {i: int(i[-1]) for i in IDS}
  assert dataset.patients == {i: i for i in IDS}
  rows = [(e.has_mask, e.height, e.width, e.source) for e in dataset.entries]
  assert rows == [(i != IDS[2], 40, 48, "shenzhen") for i in IDS]
  assert not dataset.has_given_split


def test_examples_come_in_the_order_of_ids(raw_sets, dataset):
  loaded = dataset.open(ORDER)
  assert loaded.ids == ORDER
  assert loaded.image.shape == loaded.mask.shape == (4, 128, 128, 1)
  assert (loaded.image.dtype, loaded.mask.dtype) == (np.uint8, np.uint8)
  assert loaded.label.dtype == np.int32
  for i, name in enumerate(ORDER):
    np.testing.assert_array_equal(
      loaded.image[i, ..., 0],
      resample.resize_area(raw_sets.image(name), (128, 128)),
    )
  assert loaded.label.tolist() == [1, 0, 0, 0]
  assert loaded.has_label.all()
  assert loaded.has_mask.tolist() == [True, True, False, True]
  assert loaded.mask.any(axis=(1, 2, 3)).tolist() == [True, True, False, True]


def test_masks_and_labels_are_limited_to_those_asked_for(dataset):
  loaded = dataset.open(IDS, masks_of=IDS[1:3], labels_of=[IDS[3]])
  assert loaded.has_mask.tolist() == [False, True, False, False]
  assert loaded.mask.any(axis=(1, 2, 3)).tolist() == [0, 1, 0, 0]
  assert loaded.label.tolist() == [-1, -1, -1, 1]
  assert loaded.has_label.tolist() == [False, False, False, True]


def test_noise_in_hidden_masks_changes_nothing(
  raw, raw_sets, dataset, tmp_path
):
  other = shutil.copytree(raw, tmp_path / "raw")
  noise = np.random.default_rng(0).random((40, 48)) < 0.3
  raw_sets.png(other / f"mask/{IDS[1]}_mask.png", noise)
  prepare("shenzhen", raw_dir=other, data_dir=tmp_path, allow_missing=True)
  noisy = Dataset("shenzhen", data_dir=tmp_path)
  hidden = [d.open(IDS, masks_of=[IDS[0], IDS[3]]) for d in (dataset, noisy)]
  for name in FIELDS:
    np.testing.assert_array_equal(*(getattr(d, name) for d in hidden))
  assert (dataset.open(IDS).mask != noisy.open(IDS).mask).any()


def test_examples_on_disk_are_those_in_memory(dataset):
  loaded, disk = dataset.open(ORDER), dataset.open(ORDER, streaming=True)
  chosen = [np.array([i % 4, (i + 1) % 4]) for i in range(30)]
  pairs = [*zip(loaded.batches(chosen), disk.batches(chosen), strict=True)]
  pairs += [(loaded.take(rows), disk.take(rows)) for rows in ([3, 3, 0], [2])]
  assert len(pairs) == 32
  for a, b in pairs:
    assert a.ids == b.ids
    for name in FIELDS:
      np.testing.assert_array_equal(getattr(a, name), getattr(b, name))
      assert getattr(a, name).dtype == getattr(b, name).dtype
  assert loaded.take([3, 3, 0]).ids == (IDS[1], IDS[1], IDS[3])


def test_hidden_masks_are_not_decoded(dataset, monkeypatch):
  disk = dataset.open(
    ORDER, masks_of=[IDS[0], IDS[2]], labels_of=[IDS[3]], streaming=True
  )
  images = {r["image"] for r in disk.read(disk.places)}
  decoded, plain = [], examples.read_prepared

  def spy(png, **form):
    decoded.append("image" if png in images else "mask")
    return plain(png, **form)

  monkeypatch.setattr(examples, "read_prepared", spy)
  batch = disk.take([0, 1, 2, 3])
  assert sorted(decoded) == ["image"] * 4 + ["mask"]
  assert batch.mask.any(axis=(1, 2, 3)).tolist() == [False, True, False, False]
  assert batch.label.tolist() == [1, -1, -1, -1]


def test_files_are_verified_and_read_once(dataset, data_dir, monkeypatch):
  calls = []
  verified = prepared.checksums
  monkeypatch.setattr(
    prepared, "checksums", lambda f: calls.append(f) or verified(f)
  )
  opened = Dataset("shenzhen", data_dir=data_dir)
  read = opened.read
  monkeypatch.setattr(opened, "read", lambda p: calls.append(p) or read(p))
  for _ in range(2):
    assert opened.entries == dataset.entries
    opened.open(IDS, streaming=True)
  assert len(calls) == 2


def test_unknown_ids_are_listed(dataset):
  with pytest.raises(DataError, match=r"2 ids .* CHNCXR_0003_0; x\."):
    dataset.open([IDS[0], "CHNCXR_0003_0", "x"])


@pytest.mark.parametrize(
  ("name", "raw_flag"),
  [
    ("montgomery", " --raw_dir=..."),
    ("phantom", ""),
    ("folder:mine", " --raw_dir=..."),
  ],
)
def test_the_message_holds_the_command_to_prepare(tmp_path, name, raw_flag):
  with pytest.raises(DataError) as caught:
    Dataset(name, data_dir=tmp_path, resolution=256)
  command = (
    f"python -m launch.prepare_data --dataset={name}{raw_flag} "
    f"--data_dir={tmp_path} --resolution=256"
  )
  assert str(caught.value).endswith(command)
  assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
  ("name", "form", "says"),
  [
    ("mongomery", {}, "mongomery"),
    ("montgomery", {"resolution": 64}, "64 pixels.*128, 256, 512"),
    ("montgomery", {"bits": 12}, "12 bits.*8, 16"),
  ],
)
def test_what_cannot_exist_is_refused(tmp_path, name, form, says):
  with pytest.raises(ConfigError, match=says):
    Dataset(name, data_dir=tmp_path, **form)


def test_a_flipped_byte_is_noticed_in_every_file(data_dir, tmp_path):
  copy = shutil.copytree(data_dir, tmp_path / "data")
  for path in sorted((copy / "shenzhen/128/1.0.0").iterdir()):
    if path.name == prepared.RECORD:
      continue
    whole = path.read_bytes()
    path.write_bytes(bytes([whole[0] ^ 4]) + whole[1:])
    with pytest.raises(DataError, match="damaged") as caught:
      Dataset("shenzhen", data_dir=copy)
    assert path.name in str(caught.value)
    assert "launch.prepare_data --dataset=shenzhen" in str(caught.value)
    path.unlink()
    with pytest.raises(DataError, match="damaged"):
      Dataset("shenzhen", data_dir=copy)
    path.write_bytes(whole)
  assert Dataset("shenzhen", data_dir=copy).ids == IDS


def test_another_format_is_refused(data_dir, monkeypatch):
  monkeypatch.setattr(prepared, "_READABLE", (98, 99))
  with pytest.raises(DataError, match=r"format 2, not one of \(98, 99\)"):
    Dataset("shenzhen", data_dir=data_dir)
