"""Sets whose images and masks are files of found places, one each for an id."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from apppau_jax.datasets.spec import DatasetSpec, File, MaskFiles


def paired(
  spec: DatasetSpec,
  *,
  images: Mapping[str, str],
  masks: Mapping[str, str],
  labels: Mapping[str, int],
  mask_folder: str = "masks",
  **more: Any,
) -> DatasetSpec:
  """Returns a spec with its images and masks; one without the other is missing.

  Args:
    spec: the facts about the set.
    images: the key in a `RawSource` of each image.
    masks: likewise of each mask.
    labels: of the images; -1 for others.
    mask_folder: the folder of masks, for messages.
    **more: further fields of the spec.
  """

  def image_files(example_id: str) -> tuple[File, ...]:
    return (("", images.get(example_id, f"images/{example_id}.png")),)

  def mask_files(example_id: str) -> tuple[MaskFiles, ...]:
    name = masks.get(example_id, f"{mask_folder}/{example_id}.png")
    return ((("", name),),)

  return dataclasses.replace(
    spec,
    ids=tuple(sorted({*images, *masks})),
    label=lambda example_id: labels.get(example_id, -1),
    images=image_files,
    masks=mask_files,
    **more,
  )
