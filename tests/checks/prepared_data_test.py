"""Prepared shards give the images of their raw files; findings are stored."""

import json

import pytest

from apppau_jax.checks import (
  findings,
  prepared_data,
  saved_findings,
  validation,
)
from apppau_jax.checks.duplicates import Pair
from apppau_jax.datasets.dataset import Dataset
from apppau_jax.datasets.prepare import prepare


@pytest.fixture(scope="module")
def dataset(_drawn, tmp_path_factory):
  folder = tmp_path_factory.mktemp("data")
  prepare("phantom", raw_dir=_drawn, data_dir=folder)
  return Dataset("phantom", data_dir=folder)


def test_a_clean_set_yields_no_finding_and_the_images_of_its_files(
  dataset, clean
):
  calls = []
  images, found = prepared_data.read(
    dataset, progress=lambda *numbers: calls.append(numbers)
  )
  assert calls[-1] == (10, 10)
  assert found == []
  validated = validation.validate(images)
  assert validated == validation.Validation(findings=(), alike=())
  for image, raw in zip(images, clean, strict=True):
    assert (image.id, image.label, image.patient, image.text) == (
      raw.id, raw.label, raw.patient, raw.text,
    )  # fmt: skip
    assert image.sha256 == raw.sha256  # 128 pixels there and here
    assert image.lungs == raw.lungs


def test_hidden_masks_are_not_read(dataset):
  shown = dataset.ids[3]
  images, _ = prepared_data.read(dataset, masks_of={shown})
  assert [i.id for i in images if i.outline is not None] == [shown]


def test_findings_are_those_of_the_same_data_and_checks(dataset, monkeypatch):
  made = validation.Validation(
    findings=(findings.error("twins", "<what>", "a", "b"),),
    alike=(Pair("a", "b", 0.95, False),),
  )
  path = saved_findings.path(dataset)
  assert saved_findings.read(dataset) is None
  saved_findings.write(dataset, made)
  assert saved_findings.read(dataset) == made
  with monkeypatch.context() as patch:
    patch.setattr(dataset, "content_sha256", "2")
    assert saved_findings.read(dataset) is None
  with monkeypatch.context() as patch:
    patch.setattr(saved_findings, "FORMAT", saved_findings.FORMAT + 1)
    assert saved_findings.read(dataset) is None
  stored = json.loads(path.read_text())
  assert stored["findings"][0]["advice"]
  for spoilt in ("{", "[]", json.dumps({**stored, "alike": [{"x": 1}]})):
    path.write_text(spoilt)
    assert saved_findings.read(dataset) is None
  path.unlink()
