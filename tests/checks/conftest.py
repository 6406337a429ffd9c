"""A clean set of phantoms as raw files, and how to spoil and validate it."""

import shutil

import numpy as np
import pytest
from PIL import Image

from apppau_jax import phantoms
from apppau_jax.checks import raw_data, validation

SIDE = 128


class Spoilt:
  """Raw phantoms in Montgomery's layout, to be changed file by file.

  Ids are MCUCXR_0001_0 to MCUCXR_0006_0 and MCUCXR_0007_1 to MCUCXR_0010_1.
  """

  def __init__(self, root):
    self.root = root / "MontgomerySet"

  def image(self, name):
    return self.root / f"CXR_png/{name}.png"

  def masks(self, name):
    folder = self.root / "ManualMask"
    return [folder / f"{s}Mask/{name}.png" for s in ("left", "right")]

  def text(self, name):
    return self.root / f"ClinicalReadings/{name}.txt"

  def pixels(self, path):
    with Image.open(path) as image:
      return np.asarray(image.convert("L"))

  def put(self, path, pixels, mode=None):
    image = Image.fromarray(pixels)
    (image.convert(mode) if mode else image).save(path)

  def change(self, path, function):
    self.put(path, np.ascontiguousarray(function(self.pixels(path))))

  def validate(self, *, splits=("paper",)):
    images, found = raw_data.read("phantom", self.root, workers=1)
    validated = validation.validate(images, found=found)
    return validation.with_splits(
      validated, images, dataset="phantom", names=splits
    )


@pytest.fixture(scope="session")
def _drawn(tmp_path_factory):
  root = tmp_path_factory.mktemp("clean")
  phantoms.write_montgomery(root, count=10, seed=1, size=SIDE)
  return root


@pytest.fixture
def spoilt(_drawn, tmp_path):
  return Spoilt(shutil.copytree(_drawn, tmp_path / "raw"))


@pytest.fixture(scope="session")
def clean(_drawn):
  """The images of the clean set, not to be changed."""
  images, found = raw_data.read("phantom", _drawn)
  assert found == []
  return images
