"""Boxes and masks from a COCO JSON file."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from apppau_jax import reading
from apppau_jax.imaging import outlines, run_lengths

_FORM = {
  "images": [{"id": int, "file_name": str, "width?": int, "height?": int}],
  "annotations?": [
    {
      "image_id": int,
      "category_id": int,
      "bbox?": [float],
      "segmentation?": (
        [[float]],
        {"size": [int], "counts": (str, [int])},
        None,
      ),
    }
  ],
  "categories": [{"id": int, "name": str}],
}


@dataclasses.dataclass(frozen=True)
class Annotation:
  """One outlined structure of an image.

  Attributes:
    category: the name of what it shows.
    box: left, top, right and bottom, of positions between pixels; None if it
      has none.
    segmentation: as the file states it; None if it states none.
  """

  category: str
  box: tuple[float, float, float, float] | None
  segmentation: Any

  def fill_box(self, size: tuple[int, int]) -> np.ndarray:
    """Returns the pixels of its box, bool [h, w].

    Raises:
      ValueError: there is no box, or it is not on the image.
    """
    if self.box is None:
      raise ValueError("an annotation has no bbox")
    return outlines.fill_boxes([self.box], size)

  def fill(self, size: tuple[int, int]) -> np.ndarray:
    """Returns its pixels, bool [h, w]: the union of polygons, or runs.

    Raises:
      ValueError: there is no segmentation, or it does not fit the image.
    """
    if not self.segmentation:
      raise ValueError("an annotation has no segmentation")
    if isinstance(self.segmentation, dict):
      stated = tuple(self.segmentation["size"])
      if stated != size:
        raise ValueError(f"its mask has the size {stated}, not {size}")
      return run_lengths.decode_counts(self.segmentation["counts"], size)
    mask = np.zeros(size, bool)
    for flat in self.segmentation:
      mask |= outlines.fill_area(_points(flat), size)
    return mask


@dataclasses.dataclass(frozen=True)
class Picture:
  """An image of the file.

  Attributes:
    file_name: as the file states it, perhaps with folders.
    size: (height, width); None if it is not stated.
    annotations: what is outlined; often nothing.
  """

  file_name: str
  size: tuple[int, int] | None
  annotations: tuple[Annotation, ...]


def read(content: bytes) -> list[Picture]:
  """Reads the images of a COCO file, with their annotations.

  Args:
    content: JSON in UTF-8.

  Raises:
    ValueError: it is not JSON of this form, or refers to an image or a
      category that it does not have.
  """
  value = reading.parse_json(content)
  if fault := reading.misfit(value, _FORM):
    raise ValueError(fault)
  names = _by_id(value["categories"], what="category")
  images = _by_id(value["images"], what="image")
  found: dict[int, list[Annotation]] = {i: [] for i in images}
  for i, one in enumerate(value.get("annotations", [])):
    if one["image_id"] not in images or one["category_id"] not in names:
      raise ValueError(
        f"annotations.{i} refers to an image or a category that is not in the "
        "file"
      )
    found[one["image_id"]].append(
      Annotation(
        category=names[one["category_id"]]["name"],
        box=_corners(one["bbox"]) if "bbox" in one else None,
        segmentation=one.get("segmentation"),
      )
    )
  return [
    Picture(image["file_name"], _size(image), tuple(found[i]))
    for i, image in images.items()
  ]


def _by_id(entries: Sequence[dict[str, Any]], *, what: str) -> dict[int, Any]:
  found = {entry["id"]: entry for entry in entries}
  if len(found) < len(entries):
    raise ValueError(f"an id of a {what} occurs twice")
  return found


def _size(image: dict[str, Any]) -> tuple[int, int] | None:
  if "height" in image and "width" in image:
    return image["height"], image["width"]
  return None


def _corners(bbox: list[float]) -> tuple[float, float, float, float]:
  if len(bbox) != 4:
    raise ValueError(f"a bbox has {len(bbox)} numbers, not four")
  left, top, width, height = bbox
  return left, top, left + width, top + height


def _points(flat: list[float]) -> list[list[float]]:
  if len(flat) % 2:
    raise ValueError("a polygon has an odd number of coordinates")
  return [flat[i : i + 2] for i in range(0, len(flat), 2)]
