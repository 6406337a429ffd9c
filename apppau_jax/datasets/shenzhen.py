"""Shenzhen chest X-rays: 662 images, of which 566 have a lung mask.

The masks were drawn later by Stirenko et al. and are published separately
(`mask/<id>_mask.png`, both lungs in one file); 96 images never got one.
"""

import re

from apppau_jax.datasets.spec import DatasetSpec, Reading, id_lists

_TUBERCULOSIS = range(327, 663)
_WITHOUT_MASK = (
  *(25, *range(36, 41), 65, *range(181, 221)),
  *(336, *range(341, 361), *range(481, 501), 502, 505, *range(560, 566)),
)
# "male 45yrs", "femal 32yrs", "female24yrs", "male , 29yrs", "16month" ...
_PERSON = re.compile(
  r"\s*(femal|mal)e?(?:[\s,]*(\d{1,5})(?!\d)\s*(y|m|d)?[a-z]*)?", re.IGNORECASE
)
_PER_YEAR = {"y": 1, "m": 12, "d": 365}


def _id(number: int) -> str:
  return f"CHNCXR_{number:04d}_{int(number in _TUBERCULOSIS)}"


def parse_reading(text: str) -> Reading:
  """Parses a line such as "male 45yrs" and the finding after it.

  The age is in whole years ("16month" is 1).
  """
  lines = [" ".join(line.split()) for line in text.splitlines()]
  lines = [line for line in lines if line]
  person = _PERSON.match(lines[0]) if lines else None
  if not person:
    return Reading(finding=" ".join(lines))
  age = ""
  if person[2]:
    age = str(int(person[2]) // _PER_YEAR[(person[3] or "y").lower()])
  finding = " ".join([lines[0][person.end() :].strip(" ,"), *lines[1:]])
  return Reading(
    sex="F" if person[1].lower() == "femal" else "M",
    age=age,
    finding=re.sub(r"^normale$", "normal", finding.strip()),
  )


SHENZHEN = DatasetSpec(
  name="shenzhen",
  title="Shenzhen Hospital chest X-ray set (NLM), with Stirenko's lung masks.",
  citation="Jaeger et al. 2014; masks: Stirenko et al. 2018",
  terms="Attribute and cite; masks CC BY-NC-SA 4.0.",
  class_names=("normal", "tb"),
  ids=tuple(_id(number) for number in range(1, 663)),
  without_mask=frozenset(_id(number) for number in _WITHOUT_MASK),
  lists=id_lists("idiap_shenzhen"),
  paper_counts=(355, 40, 132),
  # The paper used 527 of the 566 images with masks and does not name them.
  # All 279 normal images and 248 of 287 with tuberculosis fit its counts.
  paper_subset=(1, 248, "shenzhen-527"),
  stem=re.compile(r"CHNCXR_\d{4}_[01]"),
  # The name identifies the mask, wherever it lies.
  masks=lambda example_id: ((("", f"{example_id}_mask.png"),),),
  where="ChinaSet_AllFiles/CXR_png/CHNCXR_####_{0,1}.png",
  parse=parse_reading,
)
