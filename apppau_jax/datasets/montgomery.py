"""Montgomery County chest X-rays: 138 images, one mask file per lung."""

import re
from itertools import chain

from apppau_jax.datasets.spec import (
  DatasetSpec,
  MaskFiles,
  Reading,
  id_lists,
  same_patient,
)

_LISTS = id_lists("idiap_montgomery")
_SEX = re.compile(r"sex\s*:\s*([FMO])\b", re.IGNORECASE)
_AGE = re.compile(r"age\s*:\s*(\d{1,3})(?!\d)\s*Y?", re.IGNORECASE)


def mask_files(example_id: str) -> tuple[MaskFiles, ...]:
  """Left and right lung, or the merged mask of a widespread mirror."""
  name = f"{example_id}.png"
  return (("leftMask", name), ("rightMask", name)), (("masks", name),)


def parse_reading(text: str) -> Reading:
  """Parses "Patient's Sex: F", "Patient's Age: 027Y" and free text."""
  sex, age = _SEX.search(text), _AGE.search(text)
  free = [
    line.strip()
    for line in text.splitlines()
    if not _SEX.search(line) and not _AGE.search(line)
  ]
  return Reading(
    sex=sex[1].upper() if sex else "",
    age=str(int(age[1])) if age else "",
    finding=" ".join(line for line in free if line),
  )


MONTGOMERY = DatasetSpec(
  name="montgomery",
  title="Montgomery County chest X-ray set (NLM): tuberculosis screening.",
  citation="Candemir et al. 2014; Jaeger et al. 2014",
  terms="Attribute; do not share outside your research group.",
  class_names=("normal", "tb"),
  ids=tuple(sorted(chain(*_LISTS.values()))),
  # Known from the clinical readings.
  patients=same_patient(
    ("MCUCXR_0113_1", "MCUCXR_0117_1"),
    ("MCUCXR_0162_1", "MCUCXR_0166_1", "MCUCXR_0170_1"),
  ),
  lists=_LISTS,
  paper_counts=(93, 10, 35),
  stem=re.compile(r"MCUCXR_\d{4}_[01]"),
  masks=mask_files,
  where="MontgomerySet/CXR_png/MCUCXR_####_{0,1}.png",
  # Its sides are those of the picture, not of the patient.
  left_folders={"leftMask": True, "rightMask": False},
  parse=parse_reading,
)
