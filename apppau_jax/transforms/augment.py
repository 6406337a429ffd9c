"""Paired augmentation of images and masks, on the device, inside the step.

Image and mask go through one warp: the coordinates are computed once and both
are read there, bilinearly. Everything is written for one example and batched
by `vmap`, so that a batch sharded over devices needs no communication. The
draws of an example depend on the key and on its position in the batch alone,
neither on the number of devices nor on the batch size.
"""

import dataclasses
import functools
import math
from typing import NamedTuple

import jax
import jax.numpy as jnp

_LIMITS = {
  "rotate_degrees": 180.0,
  "scale": 1.0,
  "shift": 1.0,
  "gamma": 2.0,
  "contrast": 1.0,
  "brightness": 1.0,
  "noise": 1.0,
  "geometry_probability": 1.0,
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Augmentation:
  """The ranges of the changes; 0 turns one off, all off is the identity.

  U(a, b) is a uniform draw, one for every example and step. The draw of one
  change does not depend on which others are on.

  Attributes:
    rotate_degrees: angle from U(-r, r) degrees about the centre, positive is
      counter-clockwise as displayed. At most 180.
    scale: enlarged exp(U(-s, s)) times, so that growing and shrinking are
      equally likely; 0.1 is 0.905 to 1.105. At most 1.
    shift: moved by U(-s, s) of the height, and of the width. At most 1.
    gamma: image ** exp(U(-g, g)). At most 2.
    contrast: (image - mean) * (1 + U(-c, c)) + mean. At most 1.
    brightness: image + U(-b, b). At most 1.
    noise: Gaussian noise of standard deviation U(0, n) is added. At most 1.
    geometry_probability: share of the examples that are rotated, scaled and
      shifted. Reading between pixels blurs; the others stay as sharp as the
      images on which the network is evaluated.

  Raises:
    ValueError: a range that is negative, not finite or too large.
  """

  rotate_degrees: float = 0.0
  scale: float = 0.0
  shift: float = 0.0
  gamma: float = 0.0
  contrast: float = 0.0
  brightness: float = 0.0
  noise: float = 0.0
  geometry_probability: float = 1.0

  def __post_init__(self) -> None:
    for name, most in _LIMITS.items():
      value = getattr(self, name)
      if isinstance(value, bool) or not isinstance(value, int | float):
        value = math.nan
      if not 0.0 <= value <= most:
        raise ValueError(
          f"augment.{name} is {getattr(self, name)!r}; it must lie between 0 "
          f"and {most:g}"
        )

  @property
  def moves_pixels(self) -> bool:
    """Whether the geometry changes, and the mask with it."""
    return bool(self.rotate_degrees or self.scale or self.shift)

  @property
  def changes_values(self) -> bool:
    """Whether the intensities change, which leaves the mask alone."""
    return bool(self.gamma or self.contrast or self.brightness or self.noise)


class Draw(NamedTuple):
  """The parameters drawn for one example: scalars, but for `shift`."""

  angle: jax.Array  # radians
  zoom: jax.Array  # factor, > 1 enlarges
  shift: jax.Array  # [2], down and right, fractions of height and width
  exponent: jax.Array
  contrast: jax.Array  # factor
  brightness: jax.Array
  noise: jax.Array  # standard deviation


def draw(key: jax.Array, *, spec: Augmentation) -> Draw:
  """Draw the parameters of one example.

  Args:
    key: the example's own PRNG key.
    spec: the ranges.
  """
  # One call for all: each costs compilation time, numbers cost nothing. Two of
  # them belonged to removed changes; they are still drawn, so that the others
  # are what they always were for the same key.
  u = jax.random.uniform(key, (11,), minval=-1.0, maxval=1.0)
  (
    rotate,
    scale,
    down,
    right,
    _,
    _,
    gamma,
    contrast,
    brightness,
    noise,
    share,
  ) = u
  moved = (share < 2.0 * spec.geometry_probability - 1.0).astype(jnp.float32)
  return Draw(
    angle=rotate * math.radians(spec.rotate_degrees) * moved,
    zoom=jnp.exp(scale * spec.scale * moved),
    shift=jnp.stack([down, right]) * spec.shift * moved,
    exponent=jnp.exp(gamma * spec.gamma),
    contrast=1.0 + contrast * spec.contrast,
    brightness=brightness * spec.brightness,
    noise=(noise + 1.0) / 2.0 * spec.noise,
  )


def source_coordinates(
  *,
  angle: jax.Array | float,
  zoom: jax.Array | float,
  shift: jax.Array,
  height: int,
  width: int,
) -> tuple[jax.Array, jax.Array]:
  """Compute where each pixel of the result is read from.

  Content moves by p -> R(angle) zoom p + shift about the centre of the frame;
  this is the inverse.

  Args:
    angle: radians, counter-clockwise as displayed.
    zoom: factor, > 1 enlarges.
    shift: `[2]`, down and right, fractions of height and width.
    height: rows of the image.
    width: columns of the image.

  Returns:
    Rows and columns in pixels of the source, float32 `[h, w]` each.
  """
  centre_y, centre_x = (height - 1) / 2.0, (width - 1) / 2.0
  y = jnp.arange(height)[:, None] - centre_y - shift[0] * height
  x = jnp.arange(width)[None, :] - centre_x - shift[1] * width
  cos, sin = jnp.cos(angle), jnp.sin(angle)
  rows = (sin * x + cos * y) / zoom + centre_y
  columns = (cos * x - sin * y) / zoom + centre_x
  return rows, columns


def read_bilinear(
  plane: jax.Array, *, rows: jax.Array, columns: jax.Array
) -> jax.Array:
  """Read a plane between its pixels; outside its frame its edge continues.

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
  flat = jnp.asarray(plane).reshape(-1)
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
  """Rotate and enlarges about the centre, every plane alike.

  Args:
    planes: float32 `[b, h, w, c]`.
    degrees: counter-clockwise as displayed.
    zoom: factor, > 1 enlarges. `turn(-degrees, 1 / zoom)` undoes both, but
      for what left the frame and the blur of reading between pixels.

  Returns:
    float32 `[b, h, w, c]`.
  """
  rows, columns = source_coordinates(
    angle=jnp.float32(math.radians(degrees)),
    zoom=jnp.float32(zoom),
    shift=jnp.zeros(2),
    height=planes.shape[1],
    width=planes.shape[2],
  )
  read = functools.partial(read_bilinear, rows=rows, columns=columns)
  return jax.vmap(jax.vmap(read, in_axes=-1, out_axes=-1))(planes)


def _warp(
  image: jax.Array, mask: jax.Array, *, drawn: Draw
) -> tuple[jax.Array, jax.Array]:
  height, width, _ = image.shape
  rows, columns = source_coordinates(
    angle=drawn.angle,
    zoom=drawn.zoom,
    shift=drawn.shift,
    height=height,
    width=width,
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
  """Change every example of a batch differently, image and mask alike.

  Geometry first (one warp for both), then gamma, contrast, brightness and
  noise of the image, which is then clipped to [0, 1]. Beyond the frame both
  repeat their edge.

  Args:
    key: one PRNG key for the batch; example i uses `fold_in(key, i)`.
    image: float32 `[b, h, w, c]` in [0, 1].
    mask: any dtype `[b, h, w, k]` in {0, 1}; stays binary: read bilinearly,
      then at least one half.
    spec: the ranges (static under jit); all zero returns the inputs.

  Returns:
    Image and mask; shapes and dtypes are kept.
  """
  if not (spec.moves_pixels or spec.changes_values):
    return image, mask

  def one(position, image, mask):
    key_draw, key_noise = jax.random.split(jax.random.fold_in(key, position))
    drawn = draw(key_draw, spec=spec)
    if spec.moves_pixels:
      image, mask = _warp(image, mask, drawn=drawn)
    if spec.changes_values:
      image = _change_values(key_noise, image, drawn=drawn, spec=spec)
    return image, mask

  return jax.vmap(one)(jnp.arange(image.shape[0]), image, mask)
