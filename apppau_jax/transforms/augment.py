"""Paired augmentation, on the device, inside the step.

Image and mask go through one warp: the coordinates are computed once and
both are read there, bilinearly. Everything is written for one example and
batched by `vmap`, so that a batch sharded over devices needs no
communication. The draws of an example depend on the key and on its position
in the batch alone: not on the number of devices, nor on the batch size.
"""

import dataclasses
import functools
import math
from typing import NamedTuple

import jax
import jax.numpy as jnp

from apppau_jax.errors import ConfigError
from apppau_jax.transforms import gas

ELASTIC_POINTS = 4  # control points a side: bends lungs, does not crumple them

_LIMITS = {
  "rotate_degrees": 180.0,
  "scale": 1.0,
  "shift": 1.0,
  "shear": 1.0,
  "elastic": 0.25,
  "gamma": 2.0,
  "contrast": 1.0,
  "brightness": 1.0,
  "noise": 1.0,
  "geometry_probability": 1.0,
  "gas": 1.0,
}


@dataclasses.dataclass(frozen=True)
class Augmentation:
  """How far each change may go; 0 is off, all off is the exact identity.

  U(a, b) is a uniform draw, one for every example and step. Every example
  uses the same draws whichever other knobs are on.

  Attributes:
    rotate_degrees: angle from U(-r, r) degrees about the centre, positive is
      counter-clockwise as seen. At most 180.
    scale: enlarged exp(U(-s, s)) times, so that growing and shrinking are
      equally likely; 0.1 is 0.905 to 1.105. At most 1.
    shift: moved by U(-s, s) of the height, and of the width. At most 1.
    shear: columns move along the rows by U(-s, s) pixels a row. At most 1.
    elastic: a smooth field displaces pixels by up to about this fraction of
      the side (4 x 4 control points, U(-e, e) each). At most 0.25.
    gamma: image ** exp(U(-g, g)). At most 2.
    contrast: (image - mean) * (1 + U(-c, c)) + mean. At most 1.
    brightness: image + U(-b, b). At most 1.
    noise: Gaussian noise of standard deviation U(0, n) is added. At most 1.
    flip: left and right swapped with probability 1/2. The heart then sits on
      the wrong side: off unless an ablation asks for it.

    geometry_probability: share of the examples whose pixels are moved at all;
      reading between pixels blurs, and the others stay as sharp as the images
      that will be judged.
    gas: probability of each of two bubbles of gas drawn below the left lung,
      see `gas.py`. At most 1.

  Raises:
    ConfigError: a range that is negative, not finite or too large.
  """

  rotate_degrees: float = 0.0
  scale: float = 0.0
  shift: float = 0.0
  shear: float = 0.0
  elastic: float = 0.0
  gamma: float = 0.0
  contrast: float = 0.0
  brightness: float = 0.0
  noise: float = 0.0
  flip: bool = False
  geometry_probability: float = 1.0
  gas: float = 0.0

  def __post_init__(self) -> None:
    for name, most in _LIMITS.items():
      value = getattr(self, name)
      if isinstance(value, bool) or not isinstance(value, int | float):
        value = math.nan
      if not 0.0 <= value <= most:
        raise ConfigError(
          f"augment.{name} is {getattr(self, name)!r}; it is the half-width "
          f"of a range and must lie between 0 (off) and {most:g}."
        )

  @property
  def moves_pixels(self) -> bool:
    """Whether the geometry changes, and so the mask."""
    affine = self.rotate_degrees or self.scale or self.shift or self.shear
    return bool(affine or self.elastic or self.flip)

  @property
  def changes_values(self) -> bool:
    """Whether intensities change; the mask never follows them."""
    return bool(self.gamma or self.contrast or self.brightness or self.noise)

  @property
  def is_identity(self) -> bool:
    """Whether `augment` returns its inputs untouched."""
    return not (self.moves_pixels or self.changes_values or self.gas)


class Draw(NamedTuple):
  """What is drawn for one example: scalars, `shift` and the control points."""

  angle: jax.Array  # radians
  zoom: jax.Array  # factor, > 1 enlarges
  shift: jax.Array  # [2], down and right, fractions of height and width
  shear: jax.Array
  mirror: jax.Array  # +1, or -1 to swap left and right
  bend: jax.Array  # [points, points, 2], fractions of the side
  exponent: jax.Array
  contrast: jax.Array  # factor
  brightness: jax.Array
  noise: jax.Array  # standard deviation


def draw(key: jax.Array, *, spec: Augmentation) -> Draw:
  """Draws the parameters of one example.

  Args:
    key: the example's own PRNG key.
    spec: the ranges.
  """
  # One call for all: each costs compilation time, values cost nothing.
  points = (ELASTIC_POINTS, ELASTIC_POINTS, 2)
  count = 11 + math.prod(points)
  u = jax.random.uniform(key, (count,), minval=-1.0, maxval=1.0)
  moved = (u[10] < 2.0 * spec.geometry_probability - 1.0).astype(jnp.float32)
  return Draw(
    angle=u[0] * math.radians(spec.rotate_degrees) * moved,
    zoom=jnp.exp(u[1] * spec.scale * moved),
    shift=u[2:4] * spec.shift * moved,
    shear=u[4] * spec.shear * moved,
    mirror=jnp.where(u[5] > 0.0, 1.0, -1.0) if spec.flip else jnp.float32(1),
    bend=u[11:].reshape(points) * spec.elastic * moved,
    exponent=jnp.exp(u[6] * spec.gamma),
    contrast=1.0 + u[7] * spec.contrast,
    brightness=u[8] * spec.brightness,
    noise=(u[9] + 1.0) / 2.0 * spec.noise,
  )


def source_coordinates(
  drawn: Draw, *, height: int, width: int, elastic: bool
) -> tuple[jax.Array, jax.Array]:
  """Where each pixel of the result is read from, in pixels of the source.

  Content moves by p -> R(angle) K(shear) zoom mirror p + shift about the
  centre of the frame; this is the inverse, plus the elastic field.

  Args:
    drawn: one example's parameters.
    height: rows of the image.
    width: columns of the image.
    elastic: whether to add the elastic field (static: it costs a resize).

  Returns:
    rows and columns, float32 `[h, w]` each.
  """
  centre_y, centre_x = (height - 1) / 2.0, (width - 1) / 2.0
  y = jnp.arange(height)[:, None] - centre_y - drawn.shift[0] * height
  x = jnp.arange(width)[None, :] - centre_x - drawn.shift[1] * width
  cos, sin = jnp.cos(drawn.angle), jnp.sin(drawn.angle)
  rows = sin * x + cos * y
  columns = cos * x - sin * y - drawn.shear * rows
  rows = rows / drawn.zoom + centre_y
  columns = drawn.mirror * columns / drawn.zoom + centre_x
  if elastic:
    field = jax.image.resize(drawn.bend, (height, width, 2), "cubic")
    rows = rows + field[..., 0] * height
    columns = columns + field[..., 1] * width
  return rows, columns


def read_bilinear(
  plane: jax.Array, *, rows: jax.Array, columns: jax.Array
) -> jax.Array:
  """Reads a plane between its pixels; its edge goes on outside its frame.

  (`nearest` of `scipy.ndimage`.) A black surround instead would put wedges
  into nearly every training image that no real one has, and so into the
  statistics that BatchNorm uses on real ones.

  Args:
    plane: float32 `[h, w]`.
    rows: float32, any shape.
    columns: float32, the same shape.

  Returns:
    float32 of that shape.
  """
  h, w = plane.shape
  flat = plane.reshape(-1)
  y, x = jnp.clip(rows, 0.0, h - 1.0), jnp.clip(columns, 0.0, w - 1.0)
  top = jnp.minimum(jnp.floor(y), h - 2.0)
  left = jnp.minimum(jnp.floor(x), w - 2.0)
  y, x = y - top, x - left
  index = top.astype(jnp.int32) * w + left.astype(jnp.int32)

  def at(offset: int) -> jax.Array:
    return flat.at[index + offset].get(mode="promise_in_bounds")

  upper = at(0) * (1.0 - x) + at(1) * x
  lower = at(w) * (1.0 - x) + at(w + 1) * x
  return upper * (1.0 - y) + lower * y


def turn(planes: jax.Array, *, degrees: float, zoom: float) -> jax.Array:
  """Turns and enlarges about the centre, every plane alike.

  Args:
    planes: float32 `[b, h, w, c]`.
    degrees: counter-clockwise as seen.
    zoom: factor, > 1 enlarges. `turn(-degrees, 1 / zoom)` undoes both, but
      for what left the frame and the blur of reading between pixels.
  """
  still = draw(jax.random.key(0), spec=Augmentation())
  drawn = still._replace(
    angle=jnp.float32(math.radians(degrees)), zoom=jnp.float32(zoom)
  )
  rows, columns = source_coordinates(
    drawn, height=planes.shape[1], width=planes.shape[2], elastic=False
  )
  read = functools.partial(read_bilinear, rows=rows, columns=columns)
  return jax.vmap(jax.vmap(read, in_axes=-1, out_axes=-1))(planes)


def _warp(
  image: jax.Array, mask: jax.Array, *, drawn: Draw, elastic: bool
) -> tuple[jax.Array, jax.Array]:
  height, width, _ = image.shape
  rows, columns = source_coordinates(
    drawn, height=height, width=width, elastic=elastic
  )
  # A plane at a time: on CPU half the time of gathering pairs of channels.
  read = functools.partial(read_bilinear, rows=rows, columns=columns)
  read = jax.vmap(read, in_axes=-1, out_axes=-1)
  soft = read(mask.astype(jnp.float32))
  return read(image), (soft >= 0.5).astype(mask.dtype)


def _change_values(
  key: jax.Array, image: jax.Array, *, drawn: Draw, spec: Augmentation
) -> jax.Array:
  if spec.gamma:
    image = image**drawn.exponent
  if spec.contrast:
    mean = image.mean()
    image = (image - mean) * drawn.contrast + mean
  if spec.brightness:
    image = image + drawn.brightness
  if spec.noise:
    image = image + drawn.noise * jax.random.normal(key, image.shape)
  return jnp.clip(image, 0.0, 1.0)


def augment(
  key: jax.Array, image: jax.Array, mask: jax.Array, *, spec: Augmentation
) -> tuple[jax.Array, jax.Array]:
  """Changes every example of a batch in its own way, image and mask alike.

  Geometry first (one warp for both), then gamma, contrast, brightness and
  noise on the image, which is then clipped to [0, 1]. Beyond the frame both
  repeat their edge.

  Args:
    key: one PRNG key for the batch; example i uses `fold_in(key, i)`.
    image: float32 `[b, h, w, c]` in [0, 1].
    mask: any dtype `[b, h, w, k]` in {0, 1}; stays binary: read bilinearly,
      then at least one half.
    spec: the ranges (static under jit); all zero returns the inputs.

  Returns:
    image and mask, shapes and dtypes kept.
  """
  if spec.is_identity:
    return image, mask

  def one(position, image, mask):
    key_draw, key_noise, key_gas = jax.random.split(
      jax.random.fold_in(key, position), 3
    )
    drawn = draw(key_draw, spec=spec)
    if spec.moves_pixels:
      image, mask = _warp(image, mask, drawn=drawn, elastic=spec.elastic > 0)
    if spec.gas:
      image = gas.add_gas(key_gas, image, mask, probability=spec.gas)
    if spec.changes_values:
      image = _change_values(key_noise, image, drawn=drawn, spec=spec)
    return image, mask

  return jax.vmap(one)(jnp.arange(image.shape[0]), image, mask)
