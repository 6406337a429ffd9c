"""TFDS's own test of a builder, for each of ours. It needs TensorFlow:

python -m pip install tensorflow-cpu dill && python -m pytest tests/optional

Skipped without. The builders are read here through tf.data, which wants
TFRecord files; the shards that this package reads are array_record.
"""

import pathlib
import shutil
import tempfile

import pytest

pytest.importorskip("tensorflow")
pytest.importorskip("dill")  # for the test case

from tensorflow_datasets import testing

from apppau_jax import phantoms as drawing
from apppau_jax.datasets.builder import builder_class
from apppau_jax.datasets.features import SPLIT
from apppau_jax.imaging import decode
from apppau_jax.phantoms import draw_set

COUNT = 4


class _Case:
  """What the cases share: phantoms in the layout of the set, drawn anew."""

  SPLITS = {SPLIT: COUNT}  # noqa: RUF012  (TFDS's own form)
  # The raw files are local ones: `os` is the right module for them.
  MOCK_OUT_FORBIDDEN_OS_FUNCTIONS = False
  BUILDER_CONFIG_NAMES_TO_TEST = ["128", "256-16bit"]  # noqa: RUF012
  EXAMPLE_DIR: pathlib.Path

  @classmethod
  def setUpClass(cls):
    cls.EXAMPLE_DIR = pathlib.Path(tempfile.mkdtemp())
    cls.draw(cls.EXAMPLE_DIR)
    super().setUpClass()

  @classmethod
  def tearDownClass(cls):
    super().tearDownClass()
    shutil.rmtree(cls.EXAMPLE_DIR)

  def _make_builder(self, config=None):
    return self.DATASET_CLASS(
      data_dir=self.tmp_dir,
      config=config,
      version=self.VERSION,
      allow_missing=True,
      file_format="tfrecord",
      **self.options(),
    )

  def options(self):
    return {}


class MontgomeryTest(_Case, testing.DatasetBuilderTestCase):
  DATASET_CLASS = builder_class("montgomery")
  SPLITS = {SPLIT: 2}  # noqa: RUF012  (the others' ids are not published)

  @staticmethod
  def draw(root):
    drawing.write_montgomery(root, count=COUNT, seed=1, size=256)


class ShenzhenTest(_Case, testing.DatasetBuilderTestCase):
  DATASET_CLASS = builder_class("shenzhen")

  @staticmethod
  def draw(root):
    drawing.write_shenzhen(root, count=COUNT, seed=1, size=256)


class JsrtTest(_Case, testing.DatasetBuilderTestCase):
  DATASET_CLASS = builder_class("jsrt")

  @staticmethod
  def draw(root):
    drawing.write_jsrt(root, count=COUNT, seed=1)


class PhantomTest(_Case, testing.DatasetBuilderTestCase):
  DATASET_CLASS = builder_class("phantom")

  @staticmethod
  def draw(root):
    draw_set.draw(root, count=COUNT, seed=1, size=256)


class CcxTest(_Case, testing.DatasetBuilderTestCase):
  DATASET_CLASS = builder_class("ccx")
  SPLITS = {SPLIT: 2 + 2 * COUNT}  # noqa: RUF012

  @staticmethod
  def draw(root):
    for test in (MontgomeryTest, ShenzhenTest, JsrtTest):
      test.draw(root)


class FolderTest(_Case, testing.DatasetBuilderTestCase):
  DATASET_CLASS = builder_class("folder")

  def options(self):
    return {"raw_dir": self.EXAMPLE_DIR}  # it tells the classes

  @staticmethod
  def draw(root):
    lines = ["id,label"]
    for i, finding in enumerate(["normal", "tb"] * (COUNT // 2)):
      made = drawing.make_phantom(
        seed=1, index=i, finding=finding, size=(200, 180)
      )
      lungs = 255 * (made.left_lung | made.right_lung).astype("uint8")
      for kind, pixels in (("images", made.image), ("masks", lungs)):
        path = root / kind / f"p{i}.png"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(decode.encode_png(pixels))
      lines.append(f"p{i},{finding}")
    (root / "labels.csv").write_text("\n".join(lines))
