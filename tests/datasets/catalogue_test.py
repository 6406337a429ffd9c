import shutil

import numpy as np
import pytest

from apppau_jax.datasets import catalogue as examples
from apppau_jax.datasets import manifest
from apppau_jax.datasets.prepare import prepare
from apppau_jax.errors import ConfigError, DataError
from apppau_jax.imaging import reading

IDS = ("CHNCXR_0001_0", "CHNCXR_0002_0", "CHNCXR_0025_0", "CHNCXR_0327_1")
WHERE = {"dataset": "shenzhen", "resolution": 128}


@pytest.fixture(scope="module")
def raw(raw_sets, tmp_path_factory):
  root = tmp_path_factory.mktemp("raw")
  return raw_sets.shenzhen(root, IDS, without=["CHNCXR_0025_0"])


@pytest.fixture(scope="module")
def data_dir(raw, tmp_path_factory):
  root = tmp_path_factory.mktemp("data")
  prepare("shenzhen", raw_dir=raw, data_dir=root, allow_missing=True)
  return root


def test_catalogue_is_sorted_and_complete(data_dir):
  catalogue = examples.read_catalogue(data_dir, **WHERE)
  assert catalogue.class_names == ("normal", "tb")
  assert (catalogue.dataset, catalogue.resolution) == ("shenzhen", 128)
  rows = [
    (e.id, e.label, e.has_mask, e.patient, e.height, e.width)
    for e in catalogue.entries
  ]
  assert rows == [(i, int(i[-1]), i != "CHNCXR_0025_0", i, 40, 48) for i in IDS]


def test_examples_come_in_the_order_of_ids(raw_sets, data_dir):
  order = (IDS[3], IDS[0], IDS[2])
  loaded = examples.load_examples(data_dir, ids=order, **WHERE)
  assert loaded.ids == order
  assert loaded.image.shape == loaded.mask.shape == (3, 128, 128, 1)
  assert (loaded.image.dtype, loaded.mask.dtype) == (np.uint8, np.uint8)
  assert loaded.label.dtype == np.int32
  for i, name in enumerate(order):
    np.testing.assert_array_equal(
      loaded.image[i, ..., 0],
      reading.resize_area(raw_sets.image(name), (128, 128)),
    )
  assert loaded.label.tolist() == [1, 0, 0]
  assert loaded.has_label.tolist() == [True, True, True]
  assert loaded.has_mask.tolist() == [True, True, False]
  assert loaded.mask[:2].any(axis=(1, 2, 3)).all()
  assert not loaded.mask[2].any()


def test_masks_and_labels_only_of_whom_they_are_asked(data_dir):
  loaded = examples.load_examples(
    data_dir, ids=IDS, masks_of=[IDS[1], IDS[2]], labels_of=[IDS[3]], **WHERE
  )
  assert loaded.has_mask.tolist() == [False, True, False, False]
  assert loaded.mask.any(axis=(1, 2, 3)).tolist() == [0, 1, 0, 0]
  assert loaded.label.tolist() == [-1, -1, -1, 1]
  assert loaded.has_label.tolist() == [False, False, False, True]


def test_noise_in_hidden_masks_changes_nothing(raw, raw_sets, tmp_path):
  other = shutil.copytree(raw, tmp_path / "raw")
  noise = np.random.default_rng(0).random((40, 48)) < 0.3
  raw_sets.png(other / f"mask/{IDS[1]}_mask.png", noise)
  loaded = []
  for source, data in ((raw, tmp_path / "a"), (other, tmp_path / "b")):
    prepare("shenzhen", raw_dir=source, data_dir=data, allow_missing=True)
    loaded.append(
      [
        examples.load_examples(data, ids=IDS, masks_of=masks, **WHERE)
        for masks in ([IDS[0], IDS[3]], None)
      ]
    )
  (hidden_a, full_a), (hidden_b, full_b) = loaded
  for name in ("image", "mask", "label", "has_mask", "has_label"):
    np.testing.assert_array_equal(
      getattr(hidden_a, name), getattr(hidden_b, name)
    )
  assert (full_a.mask != full_b.mask).any()  # the noise is there to be seen


def test_unknown_ids_are_listed(data_dir):
  ids = [IDS[0], "CHNCXR_0003_0", "x"]
  with pytest.raises(DataError, match=r"2 ids .* CHNCXR_0003_0; x\."):
    examples.load_examples(data_dir, ids=ids, **WHERE)


@pytest.mark.parametrize(
  ("dataset", "raw_flag"),
  [
    ("montgomery", " --raw_dir=..."),
    ("phantom", ""),
    ("folder:mine", " --raw_dir=..."),
  ],
)
def test_not_prepared_says_the_command(tmp_path, dataset, raw_flag):
  with pytest.raises(DataError) as caught:
    examples.read_catalogue(tmp_path, dataset=dataset, resolution=256)
  command = (
    f"python -m launch.prepare_data --dataset={dataset}{raw_flag} "
    f"--data_dir={tmp_path} --resolution=256"
  )
  assert str(caught.value).endswith(command)
  assert not list(tmp_path.iterdir())


def test_unknown_dataset_and_resolution(tmp_path):
  with pytest.raises(ConfigError, match="mongomery"):
    examples.read_catalogue(tmp_path, dataset="mongomery", resolution=128)
  with pytest.raises(ConfigError, match="64"):
    examples.read_catalogue(tmp_path, dataset="montgomery", resolution=64)


def test_flipped_byte_is_noticed_wherever_it_is(data_dir, tmp_path):
  copy = shutil.copytree(data_dir, tmp_path / "data")
  folder = copy / "shenzhen/128/1.0.0"
  for path in sorted(folder.iterdir()):
    if path.name == manifest.NAME:
      continue
    whole = path.read_bytes()
    path.write_bytes(whole[:40] + bytes([whole[40] ^ 4]) + whole[41:]
                     if len(whole) > 40 else b"x" + whole)  # fmt: skip
    with pytest.raises(DataError, match="damaged") as caught:
      examples.read_catalogue(copy, **WHERE)
    assert path.name in str(caught.value)
    assert "launch.prepare_data --dataset=shenzhen" in str(caught.value)
    path.unlink()
    with pytest.raises(DataError, match="damaged"):
      examples.load_examples(copy, ids=IDS, **WHERE)
    path.write_bytes(whole)
  assert len(examples.read_catalogue(copy, **WHERE).entries) == 4


def test_other_format_and_unreadable_record(data_dir, tmp_path, monkeypatch):
  monkeypatch.setattr(manifest, "FORMAT", 99)
  with pytest.raises(DataError, match=r"another version .*\(format 1, not 99"):
    examples.read_catalogue(data_dir, **WHERE)
  copy = shutil.copytree(data_dir, tmp_path / "data")
  (copy / "shenzhen/128/1.0.0" / manifest.NAME).write_text("{half")
  with pytest.raises(DataError, match="not prepared"):
    examples.read_catalogue(copy, **WHERE)
