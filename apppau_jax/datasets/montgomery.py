"""Montgomery County chest X-rays (NLM): 138 images, one mask file per lung."""

import functools
import json
import re
from importlib import resources

from apppau_jax.datasets import builder, names
from apppau_jax.datasets import layout as layout_lib

STEM = re.compile(r"MCUCXR_\d{4}_[01]")
# Films of one person (from the clinical readings); one split must hold both.
SAME_PATIENT = (
  ("MCUCXR_0113_1", "MCUCXR_0117_1"),
  ("MCUCXR_0162_1", "MCUCXR_0166_1", "MCUCXR_0170_1"),
)
_SEX = re.compile(r"sex\s*:\s*([FMO])\b", re.IGNORECASE)
_AGE = re.compile(r"age\s*:\s*(\d+)\s*Y?", re.IGNORECASE)


class Montgomery(builder.LungBuilder):
  """Montgomery County chest X-ray set (NLM): tuberculosis screening films."""

  @classmethod
  def layout(cls) -> layout_lib.Layout:
    """MontgomerySet/ as NLM publishes it."""
    return layout_lib.Layout(
      stem=STEM,
      expected=published_ids(),
      masks=mask_files,
      class_names=names.CLASSES["montgomery"],
      parse=parse_reading,
      groups=SAME_PATIENT,
      where="MontgomerySet/CXR_png/MCUCXR_####_{0,1}.png",
    )


@functools.cache
def published_ids() -> tuple[str, ...]:
  """The 138 ids of the complete set, sorted."""
  listing = (
    resources.files("apppau_jax.datasets") / "split_lists/idiap_montgomery.json"
  )
  parts = json.loads(listing.read_text(encoding="utf-8"))
  return tuple(sorted(i for part in parts.values() for i in part))


def mask_files(example_id: str) -> tuple[layout_lib.MaskFiles, ...]:
  """Left and right lung; or the merged masks of a well-known mirror."""
  name = f"{example_id}.png"
  return (("leftMask", name), ("rightMask", name)), (("masks", name),)


def parse_reading(text: str) -> layout_lib.Reading:
  """Reads "Patient's Sex: F", "Patient's Age: 027Y" and free text."""
  sex, age = _SEX.search(text), _AGE.search(text)
  free = [
    line.strip()
    for line in text.splitlines()
    if not _SEX.search(line) and not _AGE.search(line)
  ]
  return layout_lib.Reading(
    sex=sex[1].upper() if sex else "",
    age=str(int(age[1])) if age else "",
    finding=" ".join(line for line in free if line),
  )
