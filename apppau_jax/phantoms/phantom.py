"""Procedural chest radiographs with exact masks.

A phantom is a function of its seed, index, finding and size. The attenuation
of trunk, arms, heart, spine and ribs is added up, that of the air in the lungs
is subtracted, and the sum is mapped to grey values as by film or a digital
detector. The lungs are dark, but neither uniform nor darker than the air
outside the body.

Phantoms are free to share. They serve the tutorial and the tests; they cannot
replace patients in a claim about accuracy.
"""

import dataclasses
from typing import Literal, get_args

import numpy as np

from apppau_jax.phantoms import (
  anatomy,
  exposure,
  findings,
  processing,
  projection,
  raster,
)
from apppau_jax.phantoms.variety import PLAIN, Variety, draw_variety

Finding = Literal["normal", "tb", "nodule"]

# Larger images are drawn at this size and enlarged before the noise is added;
# masks are exact at every size.
_CANVAS = 1280


@dataclasses.dataclass(frozen=True)
class Phantom:
  """A radiograph and its masks.

  Left and right are those of the patient, whose left lung lies on the right of
  the image. Clavicles overlap the lungs; the heart does not.

  Attributes:
    image: uint8 [h, w].
    left_lung: bool [h, w].
    right_lung: bool [h, w].
    heart: bool [h, w], the part of the heart that is not behind a lung.
    left_clavicle: bool [h, w].
    right_clavicle: bool [h, w].
    finding: 'normal', 'tb' or 'nodule'.
  """

  image: np.ndarray
  left_lung: np.ndarray
  right_lung: np.ndarray
  heart: np.ndarray
  left_clavicle: np.ndarray
  right_clavicle: np.ndarray
  finding: Finding


def make_phantom(
  *,
  seed: int,
  index: int,
  finding: Finding = "normal",
  size: tuple[int, int] = (512, 512),
  wide: bool = False,
) -> Phantom:
  """Draws one phantom.

  Body, pose, exposure and noise depend on `seed` and `index` only, so phantoms
  that differ in `finding` differ inside the lungs only. The geometry is the
  same at every `size` of one aspect ratio.

  Args:
    seed: number of the collection, >= 0.
    index: number of the person within the collection, >= 0.
    finding: 'normal', 'tb' (patchy, mostly apical opacities, cavities and
      effusions) or 'nodule' (one to three round densities of 5 to 30 mm).
    size: (h, w) in pixels, both >= 16, with an aspect ratio of at most 2.
    wide: whether bodies, diseases, exposures and processing differ as between
      many hospitals, see `variety`; else as in the tutorial.

  Returns:
    The phantom. Its lungs cover 12 % to 45 % of the image, of a wide phantom
    8 % to 50 %.

  Raises:
    ValueError: an argument is out of range.

  Example:
    >>> phantom = make_phantom(seed=0, index=0, finding="tb", size=(64, 64))
    >>> phantom.image.shape, phantom.image.dtype.name
    ((64, 64), 'uint8')
  """
  _check(seed=seed, index=index, finding=finding, size=size)
  # A stream for every subject: draws of one never shift those of another.
  streams = np.random.SeedSequence([seed, index]).spawn(8)
  body, placing, looks, cloud, disease, dots, kind, after = map(
    np.random.default_rng, streams
  )
  variety = draw_variety(kind) if wide else PLAIN
  chest = anatomy.draw_chest(body, variety)
  pose = _draw_pose(chest, placing, aspect=size[0] / size[1], variety=variety)
  settings = exposure.draw_exposure(looks)
  if wide:
    settings = processing.widen(settings, after)
  scene = projection.make_scene(
    chest, pose=pose, size=_canvas(size), rng=cloud, variety=variety
  )
  densities = _densities(scene, finding, rng=disease, wide=wide)
  attenuation = projection.project(scene, densities, blur=settings.blur)
  grey = exposure.develop(attenuation, scene.coarse, exposure=settings)
  lungs = _lung_box(chest, pose, size=size)
  if wide:
    grey = processing.process(grey, after, lungs=lungs)
  grey = exposure.frame(grey, exposure=settings, lungs=lungs)
  levels = raster.enlarge(grey, size=size) * 255
  levels += exposure.draw_noise(size, exposure=settings, rng=dots)
  image = np.clip(np.rint(levels), 0, 255).astype(np.uint8)
  return Phantom(image=image, finding=finding, **_masks(chest, pose, size=size))


def _densities(
  scene: projection.Scene,
  finding: Finding,
  *,
  rng: np.random.Generator,
  wide: bool,
) -> findings.Densities | None:
  if finding == "tb":
    return findings.tuberculosis(scene.site, rng=rng, advanced=wide)
  if finding == "nodule":
    return findings.nodules(scene.site, rng=rng)
  return None


def _lung_box(
  chest: anatomy.Chest, pose: projection.Pose, *, size: tuple[int, int]
) -> tuple[float, float, float, float]:
  """Returns left, top, right and bottom of the lungs, as fractions."""
  lungs = np.concatenate([chest.left_lung, chest.right_lung])
  lungs = pose.place(lungs, scale=max(size)) / size[::-1]
  (left, top), (right, bottom) = lungs.min(axis=0), lungs.max(axis=0)
  return float(left), float(top), float(right), float(bottom)


def _canvas(size: tuple[int, int]) -> tuple[int, int]:
  """Returns the size at which the image is drawn."""
  shrink = min(1.0, _CANVAS / max(size))
  return max(1, round(size[0] * shrink)), max(1, round(size[1] * shrink))


def _check(
  *, seed: int, index: int, finding: str, size: tuple[int, int]
) -> None:
  if finding not in get_args(Finding):
    raise ValueError(
      f"finding is {finding!r}; choose one of {', '.join(get_args(Finding))}."
    )
  if seed < 0 or index < 0:
    raise ValueError(f"seed is {seed} and index {index}; both must be >= 0.")
  if min(size) < 16 or max(size) > 2 * min(size):
    raise ValueError(
      f"size is {size[0]} x {size[1]} pixels; both sides must be >= 16 and the "
      "aspect ratio at most 2."
    )


def _draw_pose(
  chest: anatomy.Chest,
  rng: np.random.Generator,
  *,
  aspect: float,
  variety: Variety,
) -> projection.Pose:
  """Draws scale, rotation and position; the image holds both lungs whole."""
  frame = np.minimum([1 / aspect, aspect], 1)  # width, height
  wide = variety.spread
  share = np.clip(
    rng.normal(0.28, 0.05 * wide), 0.28 - 0.11 * wide, 0.28 + 0.12 * wide
  )
  angle = np.clip(rng.normal(0, 0.03), -0.08, 0.08)
  turn = np.array([[np.cos(angle), -np.sin(angle)],
                   [np.sin(angle), np.cos(angle)]])  # fmt: skip
  turn = np.diag([variety.squash, 1.0]) @ turn
  lungs = (chest.left_lung, chest.right_lung)
  points = np.concatenate(lungs) @ turn.T
  extent = np.ptp(points, axis=0)
  area = variety.squash * sum(map(raster.area, lungs))
  scale = np.sqrt(share * frame.prod() / area)
  scale = min(scale, *(0.96 * frame / extent))
  room = frame - scale * extent
  place = np.clip(rng.normal([0.5, 0.36], [0.1, 0.12]), 0, 1)
  corner = np.clip(room * place, 0.015 * frame, room - 0.015 * frame)
  return projection.Pose(scale * turn, corner - scale * points.min(axis=0))


def _masks(
  chest: anatomy.Chest, pose: projection.Pose, *, size: tuple[int, int]
) -> dict[str, np.ndarray]:
  outlines = {
    "left_lung": chest.left_lung,
    "right_lung": chest.right_lung,
    "heart": chest.heart,
    "left_clavicle": chest.skeleton.left_clavicle,
    "right_clavicle": chest.skeleton.right_clavicle,
  }
  masks = {
    name: raster.inside(pose.place(outline, scale=max(size)), size=size)
    for name, outline in outlines.items()
  }
  masks["heart"] &= ~(masks["left_lung"] | masks["right_lung"])
  return masks
