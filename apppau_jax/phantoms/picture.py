"""Procedural chest radiographs: the project's own, freely shareable data.

A phantom is a picture with exact masks, a function of `(seed, index)` alone.
The rays' attenuation is added up part by part (trunk, arms, heart, spine, ribs;
less the air in the lungs) and developed like film or a digital detector, so
that lungs are dark, but neither darker than the air outside nor even. The
default data for the demo, the tests and the pictures in the documentation; no
substitute for patients in any claim about accuracy.
"""

import dataclasses
from typing import Literal, get_args

import numpy as np

from apppau_jax.errors import DataError
from apppau_jax.phantoms import anatomy, findings, projection, raster
from apppau_jax.phantoms import film as phantom_film

Finding = Literal["normal", "tb", "nodule"]

# Beyond this many pixels along the longer side a picture has no more detail,
# only finer grain; the masks are exact at any size.
_CANVAS = 1280


@dataclasses.dataclass(frozen=True)
class Phantom:
  """A picture and its masks; left and right are the patient's.

  The patient's left lung is on the right of the picture. The clavicles overlap
  the lungs; lungs and heart never overlap.

  Attributes:
    image: uint8 [h, w].
    left_lung: bool [h, w]; so are the other masks.
    right_lung: the patient's right lung.
    heart: the heart's shadow beside the lungs.
    left_clavicle: the patient's left collar bone.
    right_clavicle: the patient's right collar bone.
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
) -> Phantom:
  """Makes one phantom.

  Body, pose, exposure and noise depend on `(seed, index)` only, so phantoms
  that differ in `finding` differ inside the lungs only. The geometry is the
  same at every `size` of one aspect ratio.

  Args:
    seed: non-negative; names a collection.
    index: non-negative; names the person in it.
    finding: 'normal', 'tb' (patchy, mostly apical opacities, cavities,
      effusions) or 'nodule' (one to three round densities, 5 to 30 mm).
    size: (h, w) in pixels, at least 16, aspect ratio at most 2.

  Returns:
    The phantom; its lungs cover 12 % to 45 % of the picture.

  Raises:
    DataError: an unknown finding, a negative seed or index, or a size that
      cannot hold a chest.
  """
  _check(finding, size)
  if seed < 0 or index < 0:
    raise DataError(
      f"There is no phantom with seed {seed} and index {index}: both are "
      "counted from 0."
    )
  # One stream per subject: no draw of one can shift those of another.
  streams = np.random.SeedSequence([seed, index]).spawn(6)
  body, placing, looks, cloud, disease, dots = map(
    np.random.default_rng, streams
  )
  chest = anatomy.draw_chest(body)
  pose = _draw_pose(chest, placing, aspect=size[0] / size[1])
  film = phantom_film.draw_film(looks)
  scene = projection.make_scene(chest, pose=pose, size=_canvas(size), rng=cloud)
  attenuation = projection.project(
    scene, _densities(scene, finding, rng=disease), blur=film.blur
  )
  grey = phantom_film.develop(attenuation, scene.coarse, film=film)
  grey = phantom_film.frame(
    grey, film=film, keep=_lung_box(chest, pose, size=size)
  )
  levels = raster.enlarge(grey, size=size) * 255
  levels += phantom_film.grain(size, film=film, rng=dots)
  image = np.clip(np.rint(levels), 0, 255).astype(np.uint8)
  return Phantom(image=image, finding=finding, **_masks(chest, pose, size=size))


def _densities(
  scene: projection.Scene, finding: Finding, *, rng: np.random.Generator
) -> findings.Densities | None:
  if finding == "tb":
    return findings.tuberculosis(scene.site, rng=rng)
  if finding == "nodule":
    return findings.nodules(scene.site, rng=rng)
  return None


def _lung_box(
  chest: anatomy.Chest, pose: projection.Pose, *, size: tuple[int, int]
) -> tuple[float, float, float, float]:
  """Left, top, right and bottom of the lungs, as shares of the picture."""
  lungs = np.concatenate([chest.left_lung, chest.right_lung])
  lungs = pose.place(lungs, scale=max(size)) / size[::-1]
  (left, top), (right, bottom) = lungs.min(axis=0), lungs.max(axis=0)
  return float(left), float(top), float(right), float(bottom)


def _canvas(size: tuple[int, int]) -> tuple[int, int]:
  """The size at which the picture is composed."""
  shrink = min(1.0, _CANVAS / max(size))
  return max(1, round(size[0] * shrink)), max(1, round(size[1] * shrink))


def _check(finding: str, size: tuple[int, int]) -> None:
  if finding not in get_args(Finding):
    raise DataError(
      f"There is no phantom with the finding {finding!r}; choose one of "
      f"{', '.join(get_args(Finding))}."
    )
  if min(size) < 16 or max(size) > 2 * min(size):
    raise DataError(
      f"A phantom of {size[0]} x {size[1]} pixels cannot hold a chest: both "
      "sides must be at least 16 and the aspect ratio at most 2."
    )


def _draw_pose(
  chest: anatomy.Chest, rng: np.random.Generator, *, aspect: float
) -> projection.Pose:
  """Size, tilt and place of the chest in the frame, lungs always whole."""
  frame = np.minimum([1 / aspect, aspect], 1)  # width, height
  share = np.clip(rng.normal(0.28, 0.05), 0.17, 0.4)
  angle = np.clip(rng.normal(0, 0.03), -0.08, 0.08)
  turn = np.array([[np.cos(angle), -np.sin(angle)],
                   [np.sin(angle), np.cos(angle)]])  # fmt: skip
  lungs = (chest.left_lung, chest.right_lung)
  points = np.concatenate(lungs) @ turn.T
  extent = np.ptp(points, axis=0)
  scale = np.sqrt(share * frame.prod() / sum(map(raster.area, lungs)))
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
