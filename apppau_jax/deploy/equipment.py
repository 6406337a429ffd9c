"""What every result says of its series and of what made it."""

from typing import Any

import pydicom

from apppau_jax.deploy import source
from apppau_jax.deploy.identity import KINDS, NAME, Maker

MODEL_NAME = "APPAU-Net"
RESEARCH = "For research only; not for diagnosis."


def of_series(
  header: pydicom.Dataset, *, kind: str, maker: Maker
) -> dict[str, Any]:
  """Returns the arguments that the classes of highdicom share.

  Args:
    header: of the film, see `source.read`.
    kind: of the result, a key of `identity.KINDS`.
    maker: the model.
  """
  number, what = KINDS[kind]
  return {
    "series_instance_uid": maker.series_uid(
      str(header.SeriesInstanceUID), kind
    ),
    "series_number": number,
    "series_description": f"{MODEL_NAME} {what} (research only)",
    "sop_instance_uid": maker.instance_uid(str(header.SOPInstanceUID), kind),
    "instance_number": source.instance_number(header),
    "manufacturer": NAME,
    "manufacturer_model_name": MODEL_NAME,
    "software_versions": maker.version,
    "device_serial_number": maker.serial_number,
  }
