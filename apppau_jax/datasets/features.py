"""The TFDS features of a prepared set."""

import functools
import io
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import tensorflow_datasets as tfds

from apppau_jax.datasets import registry
from apppau_jax.datasets.spec import DatasetSpec
from apppau_jax.imaging import decode, grey_levels

SPLIT = "full"  # "all" is a reserved word of TFDS
PICTURES = ("image", "mask", "structures")  # encoded as PNG
# Millimetres between the rows and columns of the raw image, 0 where unknown,
# and what states them, see `film.Spacing`.
SPACING = ("row_mm", "column_mm", "spacing_from")


class Form(Protocol):
  """The form of prepared pictures: pixels a side, bits of a grey level."""

  @property
  def resolution(self) -> int: ...  # noqa: D102

  @property
  def bits(self) -> int: ...  # noqa: D102


def features(
  specs: Sequence[DatasetSpec],
  *,
  form: Form,
  class_names: Sequence[str] | None = None,
  spacing: bool = True,
) -> tfds.features.FeaturesDict:
  """Returns the features of one example of a prepared set.

  Args:
    specs: the set, or the sets of a combination.
    form: states the resolution and the bits of the pictures.
    class_names: the classes; those of the specs by default.
    spacing: whether there are the features `SPACING`, which sets of format 1
      lack.
  """
  side = form.resolution
  if class_names is None:
    class_names = registry.union(spec.class_names for spec in specs)
  picture = functools.partial(
    tfds.features.Image, shape=(side, side, 1), encoding_format="png"
  )
  mask, text = picture(dtype=np.uint8), tfds.features.Text()
  stated: dict[str, Any] = {
    "id": text,
    "image": picture(dtype=grey_levels.dtype_of(form.bits)),
    "mask": mask,  # 1 inside the lungs; zeros where has_mask is False
    "has_mask": np.bool_,
    "label": tfds.features.ClassLabel(names=list(class_names)),
    "patient": text,
    "height": np.int32,  # of the raw image
    "width": np.int32,
    "sex": text,
    "age": text,
    "finding": text,
  }
  if spacing:
    stated |= dict(zip(SPACING, (np.float32, np.float32, text)))
  if any(spec.structures for spec in specs):
    # Bit k: inside structure k of the one set that has structures.
    stated["structures"] = picture(dtype=_structure_dtype(specs))
    stated["has_structures"] = np.bool_
  for spec in specs:
    for name, unknown in unknown_details(spec).items():
      stated[name] = np.int32 if isinstance(unknown, int) else text
  if len(specs) > 1:
    stated["source"] = text  # the set of the example
  return tfds.features.FeaturesDict(stated)


def finding(name: str) -> str:
  """Returns the name of the feature that states whether a finding is present.

  It is 1 if it is present, 0 if it is absent and -1 if that is not stated.
  """
  return f"finding_{name}"


def unknown_details(spec: DatasetSpec) -> dict[str, int | str]:
  """Returns the features that only this set has, where nothing is known."""
  return {**spec.details, **{finding(n): -1 for n in spec.finding_names}}


def _structure_dtype(specs: Sequence[DatasetSpec]) -> np.dtype:
  return np.result_type(*(spec.structure_dtype for spec in specs))


def joined(
  example: dict[str, Any],
  spec: DatasetSpec,
  *,
  specs: Sequence[DatasetSpec],
  form: Form,
) -> dict[str, Any]:
  """Returns an example of one set as an example of a combination.

  Its label counts in the joint classes, it names its set, and the features that
  only other sets have are unknown.
  """
  values: dict[str, Any] = {}
  for other in specs:
    values |= unknown_details(other)
    if other.structures:
      side, dtype = form.resolution, _structure_dtype(specs)
      empty = np.zeros((side, side), dtype)
      values["structures"] = io.BytesIO(decode.encode_png(empty))
      values["has_structures"] = False
  values |= {**example, "source": spec.name}
  if example["label"] >= 0:
    classes = registry.union(other.class_names for other in specs)
    values["label"] = classes.index(spec.class_names[example["label"]])
  return values
