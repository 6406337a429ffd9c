"""Segments the films of a DICOMweb server and stores the results there.

  python -m launch.pacs --workdir=runs/mc --url=https://pacs/dicom-web --once

Fetches chest X-rays (QIDO-RS, WADO-RS), predicts, and stores a Segmentation, an
overlay and a Structured Report of each in its study (STOW-RS). Films that have
the results of this model are left alone. User and password are read from
APPPAU_JAX_PACS_USER and APPPAU_JAX_PACS_PASSWORD. Without --once the server is
asked again every --poll_seconds. Settings: docs/dicom.md.
"""

import os

from absl import flags

import apppau_jax
from apppau_jax import runtime
from apppau_jax.errors import ConfigError
from launch import cli

_WORKDIR = cli.define_models()
_URL = flags.DEFINE_string("url", None, "DICOMweb root of the server.")
_STUDY = flags.DEFINE_string("study", "", "Only this Study Instance UID.")
_SERIES = flags.DEFINE_string("series", "", "Only this Series Instance UID.")
_DATE = flags.DEFINE_string(
  "date", "", "Only studies of this day, or range as in 20261101-20261130."
)
_MODALITY = flags.DEFINE_list(
  "modality", ["CR", "DX"], "Only these modalities."
)
_DICOM = flags.DEFINE_string("dicom", "seg,sc,sr", "DICOM objects to store.")
_ONCE = flags.DEFINE_bool("once", False, "End when all films are done.")
_POLL = flags.DEFINE_integer(
  "poll_seconds", 60, "Seconds between two searches.", lower_bound=1
)


def main() -> None:
  """Does all films, once or again and again."""
  if not _URL.value:
    raise ConfigError("--url is needed: the DICOMweb root of the server.")
  runtime.set_up()
  from apppau_jax.deploy import request

  kinds = request.kinds(_DICOM.value)
  from apppau_jax.deploy import dicomweb, pacs

  server = dicomweb.Server(_URL.value, **dicomweb.credentials(os.environ))
  which = pacs.Filter(
    modalities=_MODALITY.value,
    study=_STUDY.value,
    series=_SERIES.value,
    date=_DATE.value,
  )
  from apppau_jax.experiment import predictor

  found = predictor.load(_WORKDIR.value)
  trip = pacs.RoundTrip(
    server=server,
    model=found.model,
    identity=found.identity,
    kinds=kinds,
    package=apppau_jax.__version__,
  )
  trip.repeat(which, seconds=None if _ONCE.value else _POLL.value)


if __name__ == "__main__":
  cli.run(main)
