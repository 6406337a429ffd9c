"""Sixteen bits a grey level, where they are asked for."""

import numpy as np
import pytest
from skimage import measure

from apppau_jax import phantoms as drawing
from apppau_jax.checks import prepared_data
from apppau_jax.datasets import jsrt
from apppau_jax.datasets.dataset import Dataset
from apppau_jax.datasets.prepare import prepare
from apppau_jax.errors import DataError
from apppau_jax.imaging import decode, grey_levels, resample

SIDE = 256
IDS = ("JPCLN001", "JPCLN002", "JPCNN001")


@pytest.fixture(scope="module")
def density():
  """Twelve bits that use all of them, high where the film is black."""
  rng = np.random.default_rng(3)
  ramp = np.linspace(300, 3700, SIDE)[:, None] + np.zeros(SIDE)
  return (ramp + rng.uniform(-200, 200, ramp.shape)).astype(np.uint16)


@pytest.fixture
def raw(density, tmp_path, monkeypatch):
  monkeypatch.setattr(jsrt, "SIDE", SIDE)
  folder = tmp_path / "raw"
  drawing.write_jsrt(folder, count=3, seed=4, size=SIDE)
  film = next(folder.rglob("JPCLN001.IMG"))
  film.write_bytes(density.astype(">u2").tobytes())
  return folder


@pytest.fixture
def data_dir(raw, tmp_path):
  for bits in (8, 16):
    prepare(
      "jsrt", raw_dir=raw, data_dir=tmp_path, bits=bits, allow_missing=True
    )
  return tmp_path


def test_levels_by_hand():
  deep = grey_levels.stretch(np.array([100, 150, 300]), bits=16)
  assert deep.dtype == np.uint16
  assert deep.tolist() == [0, 16384, 65535]  # 65535 / 4 = 16383.75
  deep = grey_levels.deepen(np.array([0, 1, 255], np.uint8), bits=16)
  assert deep.tolist() == [0, 257, 65535]
  every = np.arange(65536).astype(np.uint16)
  assert (
    grey_levels.shallow(every).tolist() == (np.arange(65536) // 256).tolist()
  )
  assert grey_levels.unit(np.array([0, 13107, 65535], np.uint16)).tolist() == [
    0.0, 0.2, 1.0,
  ]  # fmt: skip
  eight = np.arange(256).astype(np.uint8)
  np.testing.assert_array_equal(
    grey_levels.shallow(grey_levels.deepen(eight, bits=16)), eight
  )
  np.testing.assert_allclose(
    grey_levels.unit(grey_levels.deepen(eight, bits=16)),
    grey_levels.unit(eight),
    rtol=1e-15,
  )


def test_pictures_of_either_depth():
  deep = np.array([[100, 150], [300, 299]], np.uint16)
  read = decode.read_grey(decode.encode_png(deep), bits=16)
  assert read.tolist() == [[0, 16384], [65535, 65207]]  # 65535 * 199 / 200
  grey = np.array([[0, 7], [130, 255]], np.uint8)
  read = decode.read_grey(decode.encode_png(grey), bits=16)
  assert read.tolist() == [[0, 7 * 257], [130 * 257, 65535]]
  # What is prepared is not stretched again.
  kept = decode.read_prepared(decode.encode_png(deep))
  assert kept.dtype == np.uint16
  np.testing.assert_array_equal(kept, deep)


def test_the_mean_of_an_area_keeps_its_bits():
  image = np.array([[65535, 65534], [65535, 65531]], np.uint16)
  assert resample.resize_area(image, (1, 1)).tolist() == [[65534]]  # 65533.75
  image = np.random.default_rng(0).integers(0, 65536, (64, 96)).astype("u2")
  blocks = measure.block_reduce(image.astype(float), (8, 8), np.mean)
  resized = resample.resize_area(image, (8, 12))
  assert np.abs(resized - blocks).max() <= 0.5


def test_all_twelve_bits_of_a_film_are_kept(monkeypatch):
  monkeypatch.setattr(jsrt, "SIDE", 64)
  every = np.arange(4096, dtype=">u2").reshape(64, 64)
  deep = jsrt.read_raw(every.tobytes(), "x", bits=16)
  assert deep.dtype == np.uint16
  assert deep.ravel().tolist() == [(4095 - x) * 16 for x in range(4096)]
  np.testing.assert_array_equal(
    grey_levels.shallow(deep), jsrt.read_raw(every.tobytes(), "x")
  )


def test_prepared_at_sixteen_bits(data_dir, density):
  both = {b: Dataset("jsrt", data_dir=data_dir, bits=b) for b in (8, 16)}
  deep, flat = both[16].open(IDS), both[8].open(IDS)
  assert (deep.image.dtype, flat.image.dtype) == (np.uint16, np.uint8)
  np.testing.assert_array_equal(deep.mask, flat.mask)
  light = 16.0 * (4095 - density.astype(float))
  expected = measure.block_reduce(light, (2, 2), np.mean)
  assert np.abs(deep.image[0, ..., 0] - expected).max() <= 0.5
  assert len(np.unique(deep.image[0])) > 2000
  streamed = both[16].open(IDS, streaming=True)
  np.testing.assert_array_equal(streamed.take([2, 0]).image, deep.image[[2, 0]])
  assert both[8].content_sha256 != both[16].content_sha256


def test_checks_read_sixteen_bits(data_dir):
  found = {}
  for bits in (8, 16):
    dataset = Dataset("jsrt", data_dir=data_dir, bits=bits)
    found[bits], _ = prepared_data.read(dataset)
  for flat, deep in zip(found[8], found[16], strict=True):
    assert deep.sketch.dtype == np.uint8
    difference = flat.sketch.astype(int) - deep.sketch
    assert np.abs(difference).max() <= 1  # cut off before or after the mean
    assert len(np.unique(deep.sketch)) > 50


def test_the_command_to_prepare_has_the_depth(tmp_path):
  with pytest.raises(DataError, match=r"--resolution=128 --bits=16"):
    Dataset("jsrt", data_dir=tmp_path, bits=16)
