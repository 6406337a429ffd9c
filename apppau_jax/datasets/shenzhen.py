"""Shenzhen chest X-rays (NLM, Shenzhen No. 3 Hospital): 662 images.

566 of them have masks, drawn later by Stirenko et al. and published apart
(`mask/<id>_mask.png`, both lungs in one); 96 never got one.
"""

import re

from apppau_jax.datasets import builder, names
from apppau_jax.datasets import layout as layout_lib

STEM = re.compile(r"CHNCXR_\d{4}_[01]")
NORMAL = range(1, 327)
TUBERCULOSIS = range(327, 663)
_WITHOUT_MASK = (
  *(25, *range(36, 41), 65, *range(181, 221)),
  *(336, *range(341, 361), *range(481, 501), 502, 505, *range(560, 566)),
)
# "male 45yrs", "femal 32yrs", "female24yrs", "male , 29yrs", "16month" ...
_PERSON = re.compile(
  r"\s*(femal|mal)e?(?:[\s,]*(\d+)\s*(y|m|d)?[a-z]*)?", re.IGNORECASE
)
_PER_YEAR = {"y": 1, "m": 12, "d": 365}


class Shenzhen(builder.LungBuilder):
  """Shenzhen Hospital chest X-ray set (NLM), with Stirenko's lung masks."""

  @classmethod
  def layout(cls) -> layout_lib.Layout:
    """ChinaSet_AllFiles/ as NLM publishes it, the masks in it or beside."""
    return layout_lib.Layout(
      stem=STEM,
      expected=published_ids(),
      masks=mask_files,
      class_names=names.CLASSES["shenzhen"],
      parse=parse_reading,
      without_mask=frozenset(_id(number) for number in _WITHOUT_MASK),
      where="ChinaSet_AllFiles/CXR_png/CHNCXR_####_{0,1}.png",
    )


def published_ids() -> tuple[str, ...]:
  """The 662 ids of the complete set, sorted."""
  return tuple(_id(number) for number in (*NORMAL, *TUBERCULOSIS))


def _id(number: int) -> str:
  return f"CHNCXR_{number:04d}_{int(number in TUBERCULOSIS)}"


def mask_files(example_id: str) -> tuple[layout_lib.MaskFiles, ...]:
  """One file with both lungs; the name says enough, wherever it lies."""
  return ((("", f"{example_id}_mask.png"),),)


def parse_reading(text: str) -> layout_lib.Reading:
  """Reads a line such as "male 45yrs" and the finding after it.

  The age is in whole years ("16month" is 1).
  """
  lines = [" ".join(line.split()) for line in text.splitlines()]
  lines = [line for line in lines if line]
  person = _PERSON.match(lines[0]) if lines else None
  if not person:
    return layout_lib.Reading(finding=" ".join(lines))
  age = ""
  if person[2]:
    age = str(int(person[2]) // _PER_YEAR[(person[3] or "y").lower()])
  finding = " ".join([lines[0][person.end() :].strip(" ,"), *lines[1:]])
  return layout_lib.Reading(
    sex="F" if person[1].lower() == "femal" else "M",
    age=age,
    finding=re.sub(r"^normale$", "normal", finding.strip()),
  )
