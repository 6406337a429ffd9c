"""Which films are fetched, and what becomes of each."""

import io

import numpy as np
import pydicom
import pytest
from fixtures import chest_films
from fixtures.stub_member import StubMember

from apppau_jax.deploy import pacs
from apppau_jax.deploy.dicomweb import Instance
from apppau_jax.errors import ConfigError, DataError
from apppau_jax.inference.model import Model


class Server:
  """Keeps objects in memory; remembers what was fetched."""

  def __init__(self, *contents):
    self.objects = [pydicom.dcmread(io.BytesIO(c)) for c in contents]
    self.fetched = []
    self.refuses = ()

  def series(self, filters):
    return [
      (one.StudyInstanceUID, one.SeriesInstanceUID)
      for one in self.objects
      if all(one.get(name) == value for name, value in filters.items())
    ]

  def instances(self, study):
    return [
      Instance(study, one.SeriesInstanceUID, one.SOPInstanceUID)
      for one in self.objects
      if one.StudyInstanceUID == study
    ]

  def fetch(self, instance):
    self.fetched.append(instance.instance)
    (found,) = (
      o for o in self.objects if o.SOPInstanceUID == instance.instance
    )
    return found

  def store(self, objects):
    if {one.Modality for one in objects} & {*self.refuses}:
      raise DataError("the disk is full")
    self.objects += objects


def _film(number, **more):
  phantom = chest_films.phantom(number)
  uid = f"1.2.826.9.{number}"
  return chest_films.film(phantom, instance=uid, **more)


@pytest.fixture
def trip():
  def make(server, **changes):
    model = Model(
      [StubMember(lambda x: np.where(x > 127, 40.0, -40.0).astype(np.float32))],
      resolution=32,
      batch_size=2,
    )
    settings = {
      "server": server,
      "model": model,
      "identity": {"step": 1},
      "kinds": ("seg", "sr"),
      "package": "0.2.0",
    }
    return pacs.RoundTrip(**(settings | changes))

  return make


def test_films_are_done_once(trip):
  server = Server(*map(_film, range(2)))
  outcome = trip(server).run(pacs.Filter())
  assert (outcome.stored, outcome.had, outcome.refused) == (2, 0, {})
  assert sorted(server.fetched) == ["1.2.826.9.0", "1.2.826.9.1"]
  assert [o.Modality for o in server.objects[2:]] == ["SEG", "SR"] * 2
  again = trip(server).run(pacs.Filter())
  assert (again.stored, again.had) == (0, 2)
  assert len(server.fetched) == 2


def test_another_model_and_more_objects_are_new_results(trip):
  server = Server(_film(0))
  kinds = ("seg", "sr"), ("seg", "sc")
  trips = [
    trip(server, kinds=k, identity={"step": s}) for k in kinds for s in (1, 2)
  ]
  assert [one.run(pacs.Filter()).stored for one in trips] == [1, 1, 1, 1]


@pytest.mark.parametrize(
  ("which", "expected"),
  [
    (pacs.Filter(), ["0", "1"]),
    (pacs.Filter(modalities=("DX",)), ["1"]),
    (pacs.Filter(study="1.2.826.1"), ["0"]),
    (pacs.Filter(series="1.2.826.77.1"), ["1"]),
    (pacs.Filter(date="20261128"), ["1"]),
    (pacs.Filter(modalities=("OT",)), []),
  ],
)
def test_filters(trip, which, expected):
  other = {
    "Modality": "DX",
    "StudyInstanceUID": "1.2.826.77",
    "SeriesInstanceUID": "1.2.826.77.1",
    "StudyDate": "20261128",
  }
  server = Server(_film(0), _film(1, **other))
  trip(server).run(which)
  assert [uid[-1] for uid in server.fetched] == expected


def test_a_film_without_use_costs_itself(trip, capsys):
  server = Server(_film(0), _film(1, ViewPosition="LL"), _film(2, Rows=7))
  outcome = trip(server).run(pacs.Filter())
  assert outcome.stored == 1
  assert {*outcome.refused} == {"1.2.826.9.1", "1.2.826.9.2"}
  assert "ViewPosition" in outcome.refused["1.2.826.9.1"]
  assert "1.2.826.9.2" in outcome.refused["1.2.826.9.2"]
  assert "/tmp" not in outcome.refused["1.2.826.9.2"]
  assert "1.2.826.9.0: stored" in capsys.readouterr().out
  known = trip(server).run(pacs.Filter(), known=outcome.refused)
  assert (known.had, known.refused) == (1, {})
  assert len(server.fetched) == 3


def test_results_that_are_refused(trip):
  server = Server(_film(0))
  server.refuses = ("SR",)
  with pytest.raises(DataError, match=r"1\.2\.826\.9\.0: the disk is full"):
    trip(server).repeat(pacs.Filter(), seconds=None)


def test_polling_survives_a_server_that_goes_away(trip, monkeypatch, capsys):
  server, waits = Server(_film(0)), []

  def sleep(seconds):
    waits.append(seconds)
    if len(waits) == 3:
      raise KeyboardInterrupt
    server.series = [_down, Server.series.__get__(server)][len(waits) - 1]

  def _down(filters):
    raise ConfigError("it cannot be reached")

  monkeypatch.setattr(pacs.time, "sleep", sleep)
  with pytest.raises(KeyboardInterrupt):
    trip(server).repeat(pacs.Filter(), seconds=5)
  told = capsys.readouterr()
  assert "it cannot be reached" in told.err
  assert "1 stored, 0 had results" in told.out
  assert "0 stored, 1 had results" in told.out
  assert waits == [5, 5, 5]
