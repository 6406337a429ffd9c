"""Dice at the size of the films, against files read with Pillow."""

import numpy as np
import pytest
from fixtures.stub_member import StubMember
from PIL import Image
from sklearn import metrics as sklearn_metrics

from apppau_jax import phantoms
from apppau_jax.datasets import phantom
from apppau_jax.datasets.dataset import Dataset
from apppau_jax.datasets.prepare import prepare
from apppau_jax.errors import DataError
from apppau_jax.experiment import own_size
from apppau_jax.inference.model import Model

SIZE = (150, 190)


@pytest.fixture(scope="module")
def raw(tmp_path_factory):
  folder = tmp_path_factory.mktemp("own_size")
  phantoms.write_montgomery(folder, count=6, size=SIZE, structures=True)
  prepare("phantom", raw_dir=folder, data_dir=folder)
  return folder


def _model(structures=()):
  """Calls dark pixels lungs, and everything above a line the left lung."""

  def logits(image):
    dark = 100.0 - image.astype(np.float32)
    return np.concatenate([dark, dark + 50][: max(1, len(structures))], axis=-1)

  return Model([StubMember(logits)], resolution=128, structures=structures)


def _measure(model, raw, names=None):
  dataset = Dataset("phantom", data_dir=raw)
  ids = names or [entry.id for entry in dataset.entries]
  chosen = [e for e in dataset.entries if e.id in ids]
  source = dataset.open(ids, structures=model.structures)
  with own_size.measuring(model, chosen, raw_dir=raw) as own:
    for part in model.batches(source):
      own.add(part)
  return ids, own


def _drawn(raw, name, *folders):
  root = next(raw.glob("MontgomerySet"))
  files = [next(root.rglob(f"{folder}/{name}.png")) for folder in folders]
  return np.any([np.asarray(Image.open(file)) > 0 for file in files], axis=0)


def test_lungs_as_drawn_against_predictions_of_the_files(raw):
  model = _model()
  ids, own = _measure(model, raw)
  found, true = [], []
  for name, image in zip(ids, own.per_image, strict=True):
    (film,) = raw.rglob(f"CXR_png/{name}.png")
    prediction = model.predict(film).mask
    drawn = _drawn(raw, name, "leftMask", "rightMask")
    assert prediction.shape == drawn.shape == SIZE
    expected = sklearn_metrics.f1_score(drawn.ravel(), prediction.ravel())
    assert image["dice"] == pytest.approx(expected)
    found.append(prediction.ravel())
    true.append(drawn.ravel())
  report = own.report()
  assert report["pooled"]["lungs"]["dice"] == pytest.approx(
    sklearn_metrics.f1_score(np.concatenate(true), np.concatenate(found))
  )
  mean = np.mean([image["dice"] for image in own.per_image])
  assert report["segmentation"]["dice"]["mean"] == pytest.approx(mean)


def test_each_structure_is_read_from_its_own_file(raw):
  model = _model(structures=("heart", "left_lung"))
  ids, own = _measure(model, raw)
  pooled = own.report()["pooled"]
  hearts, found = [], []
  for name in ids:
    (film,) = raw.rglob(f"CXR_png/{name}.png")
    found.append(model.predict(film).mask[..., 0].ravel())
    hearts.append(_drawn(raw, name, phantom.FOLDERS["heart"]).ravel())
  recall = sklearn_metrics.recall_score(
    np.concatenate(hearts), np.concatenate(found)
  )
  assert pooled["heart"]["sensitivity"] == pytest.approx(recall)
  assert pooled.keys() == {"heart", "left_lung"}


def test_a_film_whose_mask_is_gone_is_named(raw, tmp_path):
  model, dataset = _model(), Dataset("phantom", data_dir=raw)
  others = tmp_path / "others"
  phantoms.write_montgomery(others, count=3, size=SIZE)
  parts = [*model.batches(dataset.open(dataset.ids))]
  with own_size.measuring(model, dataset.entries, raw_dir=others) as own:
    assert own is not None
    with pytest.raises(DataError, match=r"MCUCXR_000\d_\d.*--raw_dir"):
      _ = [own.add(part) for part in parts]


def test_nothing_is_opened_without_raw_files():
  with own_size.measuring(_model(), [], raw_dir=None) as own:
    assert own is None
