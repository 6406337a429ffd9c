"""Measurements of masks: areas, shares of the lungs, sizes of thorax and heart.

Lengths run along the rows and columns of the image. They are those of the
largest connected part of each lung and of the heart; areas are those of the
whole mask. Left and right are the patient's: of one mask for both lungs, the
left lung is the part on the right of the image.

  NAME_area            of each mask
  left_lung_share      left area / area of both lungs
  thorax_height        from the highest to the lowest point of the lungs
  thorax_width         largest distance, over the rows, between the outer
                       borders of the lungs: the largest inner width
  heart_width          from the leftmost to the rightmost point of the heart
  cardiothoracic_ratio heart_width / thorax_width

Names of areas and lengths end in their unit: `_px` for pixels of the image, and
`_cm2` and `_mm` where the spacing of the pixels is known.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from scipy import ndimage

from apppau_jax.imaging.film import Spacing

LEFT, RIGHT, HEART = "left_lung", "right_lung", "heart"
LUNGS = "lungs"  # one mask for both
SMALLER = 0.2  # of the larger lung's area, at least, has the smaller one


class Measurement(NamedTuple):
  """A number measured in the masks of one image.

  Attributes:
    value: of the masks as they are predicted.
    spread: standard deviation over the members of an ensemble and their views;
      None if there is one only, or if some of them lack the structure.
  """

  value: float
  spread: float | None = None


def names(structures: Sequence[str]) -> tuple[str, ...]:
  """Returns all that `measure` can measure, in the order of a table.

  Args:
    structures: names of the masks; empty for one mask of both lungs.
  """
  areas = [*structures] or [LUNGS, LEFT, RIGHT]
  found = [f"{name}_area_{unit}" for name in areas for unit in ("px", "cm2")]
  lengths: list[str] = []
  if {LEFT, RIGHT} <= {*areas}:
    found.append(f"{LEFT}_share")
    lengths += ["thorax_height", "thorax_width"]
  if HEART in areas:
    lengths.append("heart_width")
  found += [f"{name}_{unit}" for name in lengths for unit in ("px", "mm")]
  if {LEFT, RIGHT, HEART} <= {*areas}:
    found.append("cardiothoracic_ratio")
  return tuple(found)


def measure(
  mask: np.ndarray,
  *,
  structures: Sequence[str] = (),
  size: tuple[int, int] | None = None,
  spacing: Spacing | None = None,
) -> dict[str, float]:
  """Measures the masks of one image.

  Args:
    mask: bool `[h, w]`, the lungs; with structures `[h, w, k]`.
    structures: names of the k masks.
    size: (height, width) of the image where the mask was resampled; lengths
      are in pixels of the image.
    spacing: of the image's pixels.

  Returns:
    Some of `names(structures)`: what cannot be measured, such as the width of
    an empty mask, is absent.

  Raises:
    ValueError: the number of masks is not that of the structures.
  """
  parts = _parts(mask, structures)
  rows, columns = size or mask.shape[:2]
  height, width = rows / mask.shape[0], columns / mask.shape[1]
  areas = {
    name: np.count_nonzero(part) * height * width
    for name, part in parts.items()
  }
  tall, wide = _lengths(parts)
  tall = {name: value * height for name, value in tall.items()}
  wide = {name: value * width for name, value in wide.items()}
  found = {f"{name}_area_px": value for name, value in areas.items()}
  found |= {f"{name}_px": value for name, value in (tall | wide).items()}
  if both := areas.get(LEFT, 0) + areas.get(RIGHT, 0):
    found[f"{LEFT}_share"] = areas.get(LEFT, 0) / both
  if {"heart_width", "thorax_width"} <= wide.keys():
    found["cardiothoracic_ratio"] = wide["heart_width"] / wide["thorax_width"]
  if spacing:
    square = spacing.rows * spacing.columns / 100
    found |= {f"{name}_area_cm2": area * square for name, area in areas.items()}
    found |= {
      f"{name}_mm": value * spacing.rows for name, value in tall.items()
    }
    found |= {
      f"{name}_mm": value * spacing.columns for name, value in wide.items()
    }
  order = names(structures)
  return {name: float(found[name]) for name in order if name in found}


def measure_all(
  mask: np.ndarray,
  samples: Sequence[np.ndarray],
  *,
  structures: Sequence[str] = (),
  spacing: Spacing | None = None,
) -> dict[str, Measurement]:
  """Measures masks, and the spread of the same over other masks.

  Args:
    mask: as for `measure`, at the size of the image.
    samples: the masks of each member and view, at any size.
    structures: names of the masks.
    spacing: of the image's pixels.
  """
  values = measure(mask, structures=structures, spacing=spacing)
  size = (mask.shape[0], mask.shape[1])
  others = [
    measure(sample, structures=structures, size=size, spacing=spacing)
    for sample in samples
  ]
  return {
    name: Measurement(value, _spread(name, others))
    for name, value in values.items()
  }


def both_lungs(
  mask: np.ndarray, structures: Sequence[str]
) -> np.ndarray | None:
  """Returns both lungs among the masks of one image; None if they are not."""
  if not structures:
    return mask
  if LUNGS in structures:
    return mask[..., structures.index(LUNGS)]
  if not {LEFT, RIGHT} <= {*structures}:
    return None
  sides = [structures.index(name) for name in (LEFT, RIGHT)]
  return np.any(mask[..., sides], axis=-1)


def _spread(name: str, others: Sequence[Mapping[str, float]]) -> float | None:
  values = [other[name] for other in others if name in other]
  if len(values) < 2 or len(values) < len(others):
    return None
  return float(np.std(values, ddof=1))


def _parts(
  mask: np.ndarray, structures: Sequence[str]
) -> dict[str, np.ndarray]:
  """Returns the masks by name; of a mask of both lungs also each of them."""
  if mask.shape[2:] != ((len(structures),) if structures else ()):
    raise ValueError(
      f"masks of the shape {mask.shape} for {len(structures)} structures"
    )
  if structures:
    planes = np.ascontiguousarray(np.moveaxis(mask, -1, 0))
    return dict(zip(structures, planes))
  return {LUNGS: mask, **_sides(mask)}


def _sides(lungs: np.ndarray) -> dict[str, np.ndarray]:
  """Returns each lung of a mask that has two such parts side by side."""
  pair = _largest(lungs, count=2)
  if len(pair) < 2 or pair[1].sum() < SMALLER * pair[0].sum():
    return {}
  centres = np.array([ndimage.center_of_mass(part) for part in pair])
  down, across = centres[0] - centres[1]
  if abs(across) <= abs(down):
    return {}
  return dict(zip((LEFT, RIGHT), pair if across > 0 else pair[::-1]))


def _largest(mask: np.ndarray, *, count: int = 1) -> list[np.ndarray]:
  """Returns the largest connected parts, at most `count`, largest first."""
  if not mask.any():
    return []
  window = tuple(slice(*_ends(np.any(mask, axis=1 - axis))) for axis in (0, 1))
  labels, _ = ndimage.label(mask[window])
  sizes = np.bincount(labels.ravel())[1:]
  parts = [np.zeros(mask.shape, bool) for _ in sizes[:count]]
  for part, label in zip(parts, np.argsort(-sizes, kind="stable") + 1):
    part[window] = labels == label
  return parts


def _lengths(
  parts: Mapping[str, np.ndarray],
) -> tuple[dict[str, float], dict[str, float]]:
  """Returns what runs along columns and along rows, in pixels of the masks."""
  tall, wide = {}, {}
  left, right, heart = (
    _largest(parts[name])[:1] if name in parts else []
    for name in (LEFT, RIGHT, HEART)
  )
  if left and right:
    tall["thorax_height"] = _extent(np.any(left[0] | right[0], axis=1))
    if width := _inner_width(left[0], right[0]):
      wide["thorax_width"] = width
  if heart:
    wide["heart_width"] = _extent(np.any(heart[0], axis=0))
  return tall, wide


def _inner_width(left: np.ndarray, right: np.ndarray) -> int:
  """Returns the largest distance of outer borders in one row; 0 if none."""
  shared = np.any(left, axis=1) & np.any(right, axis=1)
  rows = (left | right)[shared]
  return max(map(_extent, rows), default=0)


def _extent(line: np.ndarray) -> int:
  first, end = _ends(line)
  return end - first


def _ends(line: np.ndarray) -> tuple[int, int]:
  """Returns the first True of bool [n], and what follows the last one."""
  return int(line.argmax()), len(line) - int(line[::-1].argmax())
