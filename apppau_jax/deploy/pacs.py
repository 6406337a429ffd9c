"""Films from a DICOMweb server to their results on the same server.

A film has its results if the server has the objects of the UIDs that follow
from the film and the model (`identity`), so that a repeated call does nothing.
"""

import dataclasses
import functools
import tempfile
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pydicom

from apppau_jax import progress
from apppau_jax.deploy import source, writer
from apppau_jax.deploy.dicomweb import Instance, Server
from apppau_jax.deploy.identity import Maker
from apppau_jax.deploy.writer import DicomWriter
from apppau_jax.errors import DataError, UserError
from apppau_jax.inference import predict_files
from apppau_jax.inference.model import Model


@dataclasses.dataclass(frozen=True, kw_only=True)
class Filter:
  """Which series are fetched; "" means all.

  Attributes:
    modalities: DICOM's names, such as CR and DX.
    study: Study Instance UID.
    series: Series Instance UID.
    date: of the study, as in 20261128 or 20261101-20261130.
  """

  modalities: Sequence[str] = ("CR", "DX")
  study: str = ""
  series: str = ""
  date: str = ""

  def queries(self) -> Iterator[Mapping[str, str]]:
    """Yields the filters of QIDO-RS, one for each modality."""
    given = {
      "StudyInstanceUID": self.study,
      "SeriesInstanceUID": self.series,
      "StudyDate": self.date,
    }
    for modality in self.modalities:
      pairs = {"Modality": modality, **given}
      yield {name: value for name, value in pairs.items() if value}


@dataclasses.dataclass(kw_only=True)
class Outcome:
  """What a call did.

  Attributes:
    stored: films whose results were stored.
    had: films that had their results.
    refused: reasons by SOP Instance UID of the others.
  """

  stored: int = 0
  had: int = 0
  refused: dict[str, str] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True, kw_only=True)
class RoundTrip:
  """Fetches films, predicts, and stores the results.

  Attributes:
    server: where films are and results go.
    model: what predicts.
    identity: of the model.
    kinds: of results, of `identity.KINDS`.
    package: version of this package.
  """

  server: Server
  model: Model
  identity: Mapping[str, Any]
  kinds: Sequence[str]
  package: str

  @functools.cached_property
  def writer(self) -> DicomWriter:
    """Makes the results."""
    return DicomWriter(
      self.kinds, Maker.of(self.identity, package=self.package)
    )

  def repeat(self, which: Filter, *, seconds: float | None) -> None:
    """Does all films once, or again and again; says what it does.

    Args:
      which: the series.
      seconds: between two searches; None for one search.

    Raises:
      UserError: of a single search, or of the first one.
      DataError: of a single search, if a film has no results afterwards.
    """
    refused: dict[str, str] = {}
    first = True
    while first or seconds:
      try:
        outcome = self.run(which, known=refused)
      except UserError as error:
        if first:
          raise
        progress.say(f"error: {error}", error=True)
      else:
        refused |= outcome.refused
        progress.say(f"{outcome.stored} stored, {outcome.had} had results")
      first = False
      time.sleep(seconds or 0)
    if refused:
      name, reason = next(iter(refused.items()))
      raise DataError(
        f"{len(refused)} films have no results, first {name}: {reason}"
      )

  def run(self, which: Filter, *, known: Collection[str] = ()) -> Outcome:
    """Does all films that match and have no results yet.

    Args:
      which: the series.
      known: SOP Instance UIDs of films that are not tried again.
    """
    outcome = Outcome()
    studies: dict[str, set[str]] = {}
    for query in which.queries():
      for study, series in self.server.series(query):
        studies.setdefault(study, set()).add(series)
    for study, series in studies.items():
      there = self.server.instances(study)
      films = [one for one in there if one.series in series]
      uids = {one.instance for one in there}
      new = [one for one in films if not self._has_results(one, uids)]
      outcome.had += len(films) - len(new)
      new = [one for one in new if one.instance not in known]
      for start in range(0, len(new), self.model.batch_size):
        self._batch(new[start : start + self.model.batch_size], outcome)
    return outcome

  def _has_results(self, film: Instance, uids: set[str]) -> bool:
    maker = self.writer.maker
    return all(
      maker.instance_uid(film.instance, kind) in uids for kind in self.kinds
    )

  def _batch(self, films: Sequence[Instance], outcome: Outcome) -> None:
    """Does some films of one study by way of a folder that is removed."""
    with tempfile.TemporaryDirectory(prefix="apppau_jax-") as folder:
      paths = {one: Path(folder, f"{k}.dcm") for k, one in enumerate(films)}
      for film, reason in self._results(paths, output=Path(folder, "out")):
        if reason:
          outcome.refused[film.instance] = reason
        else:
          outcome.stored += 1
        progress.say(f"{film.instance}: {reason or 'stored'}")

  def _results(
    self, paths: Mapping[Instance, Path], *, output: Path
  ) -> Iterator[tuple[Instance, str]]:
    """Yields each film with why it has no results; "" if they are stored."""
    usable: dict[str, Instance] = {}
    for film, path in paths.items():
      if reason := self._fetched(film, path):
        yield film, reason
      else:
        usable[path.name] = film
    if not usable:
      return
    rows = predict_files.predict_files(
      {name: paths[film] for name, film in usable.items()},
      model=self.model,
      output=output,
      identity=self.identity,
      more=self.writer,
    )
    for row in rows:
      film = usable[row.file]
      results = writer.paths(output / Path(row.file).stem)
      if len(results) == len(self.kinds):
        yield film, self._stored(results)
      else:
        yield film, row.reason.replace(str(paths[film]), film.instance)

  def _stored(self, results: Sequence[Path]) -> str:
    """Stores the results of a film; returns why they are not, or ""."""
    try:
      self.server.store([pydicom.dcmread(path) for path in results])
    except DataError as error:
      return str(error)
    return ""

  def _fetched(self, film: Instance, path: Path) -> str:
    """Writes a film to a path; returns why it has no use, or ""."""
    try:
      pydicom.dcmwrite(path, self.server.fetch(film), enforce_file_format=True)
      source.read(path)
    except DataError as error:
      return str(error)
    except (ValueError, TypeError, AttributeError) as error:
      return f"it is damaged ({type(error).__name__})"
    return ""
