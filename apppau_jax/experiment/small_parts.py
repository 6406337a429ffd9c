"""Warnings about figures that few images or few cases of a class stand behind.

The limits are conventions: with fewer than ten images one image moves a mean by
more than a tenth of its own value, and a percentile bootstrap has few different
resamples.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

FEW_IMAGES = 10
FEW_OF_A_CLASS = 5


def few_images(part: str, count: int) -> str:
  """Returns a warning about a small part, or "".

  Args:
    part: its name.
    count: its images; none is not small, since nothing is measured then.

  Example:
    >>> few_images("test", 51)
    ''
    >>> few_images("test", 3)
    'only 3 test images: every figure of this part is uncertain.'
  """
  if not 0 < count < FEW_IMAGES:
    return ""
  images = "1 {} image" if count == 1 else f"{count} {{}} images"
  return f"only {images.format(part)}: every figure of this part is uncertain."


def few_of_a_class(label: ArrayLike, class_names: Sequence[str]) -> str:
  """Returns a warning about classes that few images have, or "".

  Args:
    label: the true classes, -1 where unknown.
    class_names: their names.
  """
  known = np.asarray(label, int)
  counts = np.bincount(known[known >= 0], minlength=len(class_names))
  few = [
    f"{name} on {count}"
    for name, count in zip(class_names, counts.tolist())
    if 0 < count < FEW_OF_A_CLASS
  ]
  if not few:
    return ""
  return (
    f"classes are measured on few images: {', '.join(few)}. AUROC, accuracy "
    "and their intervals say little."
  )


def notes(
  part: str,
  report: Mapping[str, Any],
  *,
  label: ArrayLike = (),
  class_names: Sequence[str] = (),
) -> list[str]:
  """Returns the warnings that belong to a report.

  Args:
    part: name of the part.
    report: its content; `n` is used.
    label: the true classes if they were predicted.
    class_names: their names.
  """
  found = [few_images(part, report["n"]), few_of_a_class(label, class_names)]
  if report["n"] == 1:
    found.append("the interval of a single image is the image itself.")
  return [text[0].upper() + text[1:] for text in found if text]
