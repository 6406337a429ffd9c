"""A new data set is one spec and one line of the registry."""

import numpy as np
import pytest
from PIL import Image

from apppau_jax.datasets import registry
from apppau_jax.datasets.dataset import Dataset
from apppau_jax.datasets.prepare import prepare
from apppau_jax.datasets.spec import DatasetSpec
from apppau_jax.phantoms import make_phantom

MADE = DatasetSpec(
  name="made",
  title="A small set for this test.",
  class_names=("normal", "tb"),
  ids=tuple(f"film-{i}-{'ab'[i % 2]}" for i in range(9)),
  without_mask=frozenset({"film-8-a"}),
  patients={"film-0-a": "one", "film-1-b": "one"},
  lists={
    "train": tuple(f"film-{i}-{'ab'[i % 2]}" for i in range(6)),
    "validation": ("film-6-a",),
    "test": ("film-7-b",),
  },
  label=lambda example_id: int(example_id.endswith("b")),
  images=lambda example_id: (("pictures", f"{example_id}.png"),),
  masks=lambda example_id: ((("outlines", f"{example_id}.png"),),),
)


@pytest.fixture
def raw(tmp_path):
  for i, name in enumerate(MADE.ids):
    made = make_phantom(seed=0, index=i, finding="normal", size=(64, 64))
    lungs = 255 * (made.left_lung | made.right_lung).astype(np.uint8)
    for folder, pixels in (("pictures", made.image), ("outlines", lungs)):
      path = tmp_path / f"raw/{folder}/{name}.png"
      path.parent.mkdir(parents=True, exist_ok=True)
      if folder == "pictures" or name not in MADE.without_mask:
        Image.fromarray(pixels).save(path)
  return tmp_path / "raw"


def test_a_registered_set_is_prepared_split_and_opened(
  raw, tmp_path, monkeypatch
):
  monkeypatch.setitem(registry.DATASETS, "made", MADE)
  record = prepare("made", raw_dir=raw, data_dir=tmp_path)
  assert record["counts"] == {
    "images": 9, "masks": 8, "normal": 5, "tb": 4, "unlabelled": 1,
    "missing": 0,
  }  # fmt: skip
  dataset = Dataset("made", data_dir=tmp_path)
  assert dataset.ids == MADE.ids
  assert dataset.patients["film-1-b"] == "one"
  parts = dataset.split("idiap", label_count=2, unmasked_images=True)
  assert len(parts.train_labelled) == 2
  assert len(parts.train_unlabelled) == 5
  assert parts.test == ("film-7-b",)
  parts = dataset.split("paper")
  assert len({"film-0-a", "film-1-b"} & {*parts.train_labelled}) in (0, 2)
  loaded = dataset.open(parts.train_labelled)
  assert loaded.has_mask.all()
  assert loaded.label.tolist() == [
    int(name.endswith("b")) for name in parts.train_labelled
  ]
  assert registry.class_names("made+jsrt") == ("normal", "nodule", "tb")
