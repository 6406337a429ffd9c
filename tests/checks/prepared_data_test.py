"""Prepared shards give the films of their raw files; verdicts are kept."""

import json

import pytest

from apppau_jax.checks import (
  examination,
  findings,
  prepared_data,
  saved_findings,
)
from apppau_jax.checks.duplicates import Pair
from apppau_jax.datasets import catalogue, prepare

WHERE = {"dataset": "phantom", "resolution": 128}


@pytest.fixture(scope="module")
def data_dir(_drawn, tmp_path_factory):
  folder = tmp_path_factory.mktemp("data")
  prepare.prepare("phantom", raw_dir=_drawn, data_dir=folder)
  return folder


def test_a_clean_set_yields_no_finding_and_the_films_of_its_files(
  data_dir, clean
):
  known = catalogue.read_catalogue(data_dir, **WHERE)
  calls = []
  films, found = prepared_data.read(
    data_dir, known, progress=lambda *numbers: calls.append(numbers)
  )
  assert calls[-1] == (10, 10)
  assert found == []
  examined = examination.examine(films)
  assert examined == examination.Examination(findings=(), alike=())
  for film, raw in zip(films, clean, strict=True):
    assert (film.id, film.label, film.patient, film.text) == (
      raw.id, raw.label, raw.patient, raw.text,
    )  # fmt: skip
    assert film.sha256 == raw.sha256  # 128 pixels there and here
    assert film.lungs == raw.lungs


def test_hidden_masks_are_not_looked_at(data_dir):
  known = catalogue.read_catalogue(data_dir, **WHERE)
  shown = known.entries[3].id
  films, _ = prepared_data.read(data_dir, known, masks_of={shown})
  assert [f.id for f in films if f.outline is not None] == [shown]


def test_a_verdict_is_for_its_data_and_its_checks_only(tmp_path, monkeypatch):
  made = examination.Examination(
    findings=(findings.error("twins", "<what>", "a", "b"),),
    alike=(Pair("a", "b", 0.95, False),),
  )
  path = saved_findings.path(
    tmp_path, dataset="folder:mine+phantom", resolution=128
  )
  saved_findings.write(path, made, content_sha256="1")
  assert saved_findings.read(path, content_sha256="1") == made
  assert saved_findings.read(path, content_sha256="2") is None
  with monkeypatch.context() as patch:
    patch.setattr(saved_findings, "FORMAT", saved_findings.FORMAT + 1)
    assert saved_findings.read(path, content_sha256="1") is None
  told = json.loads(path.read_text())
  assert told["findings"][0]["advice"]
  for spoilt in ("{", "[]", json.dumps({**told, "alike": [{"x": 1}]})):
    path.write_text(spoilt)
    assert saved_findings.read(path, content_sha256="1") is None
  assert saved_findings.read(tmp_path / "none", content_sha256="1") is None
