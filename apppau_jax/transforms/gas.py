"""Gas in stomach and bowel, drawn below the lungs of training images.

What a network of ten masks took for lung, more than anything else, was the
air below the left dome of the diaphragm: as dark as lung, against it, and in
few of the ten films (results/appau.md, with what it is worth elsewhere).
Films that have none get some: what they teach is that dark below the dome is
not lung.

A bubble is an ellipse whose upper part the diaphragm cuts off: its centre
lies about the lower edge of the left lung, which is seen on the right, for
below the other lies the liver. It spares every pixel of a mask and a strip
below, as thick as diaphragm and wall are, and it only darkens, towards the
grey of the lungs of the same film.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

BUBBLES = 2  # at most; each is there with the probability asked for

_BASE = 0.13  # a lung ends here or lower, of the height above its lowest pixel
_DEPTH = (-0.02, 0.12)  # of the centre below the edge, of the height
_HALF_HEIGHT = (0.03, 0.10)  # of the height
_HALF_WIDTH = (0.04, 0.14)  # of the width
_WALL = (0.005, 0.025)  # diaphragm and wall, of the height
_GREY = (0.6, 1.2)  # times the mean of the lungs
_STRENGTH = (0.6, 1.0)  # share of the way to that grey
_EDGE = 0.008  # over which a border fades, of the height


class Bubble(NamedTuple):
  """What is drawn for one bubble: scalars."""

  shown: jax.Array  # 1, or 0: no bubble
  column: jax.Array  # in [0, 1): of the columns at the left lung's base, which
  depth: jax.Array  # of the centre below the lung, fraction of the height
  half_height: jax.Array  # fraction of the height
  half_width: jax.Array  # fraction of the width
  wall: jax.Array  # fraction of the height
  grey: jax.Array  # times the mean of the lungs
  strength: jax.Array


def draw_bubble(key: jax.Array, *, probability: float) -> Bubble:
  """Draws one bubble; shown with the given probability."""
  u = jax.random.uniform(key, (8,))

  def between(i: int, limits: tuple[float, float]) -> jax.Array:
    return limits[0] + (limits[1] - limits[0]) * u[i]

  return Bubble(
    shown=(u[0] < probability).astype(jnp.float32),
    column=u[1],
    depth=between(2, _DEPTH),
    half_height=between(3, _HALF_HEIGHT),
    half_width=between(4, _HALF_WIDTH),
    wall=between(5, _WALL),
    grey=between(6, _GREY),
    strength=between(7, _STRENGTH),
  )


def add_bubble(
  image: jax.Array, mask: jax.Array, *, bubble: Bubble
) -> jax.Array:
  """Darkens one bubble below the left lung of one image.

  Args:
    image: float32 `[h, w, c]`.
    mask: `[h, w, k]`, lung (or another structure) where any is >= 1/2. An
      empty one, as an unlabelled image has, gets no bubble.
    bubble: as drawn.

  Returns:
    float32 `[h, w, c]`, nowhere brighter than `image`, equal within the mask.
  """
  h, w, _ = image.shape
  lung = jnp.any(mask >= 0.5, axis=-1)
  rows = jnp.arange(h, dtype=jnp.float32)[:, None]
  columns = jnp.arange(w, dtype=jnp.float32)[None, :]
  lowest = jnp.max(jnp.where(lung, rows, -1.0), axis=0, keepdims=True)
  has_lung = lowest >= 0.0
  base = has_lung & (lowest > jnp.max(lowest) - _BASE * h)
  left = base & (columns >= jnp.sum(columns * has_lung) / has_lung.sum())
  # The column with as many such columns before it as were drawn.
  wanted = jnp.floor(bubble.column * left.sum())
  x = jnp.argmax(jnp.cumsum(left, axis=1) > wanted).astype(jnp.float32)
  edge = jnp.max(jnp.where(columns == x, lowest, -1.0))
  y = edge + bubble.depth * h

  # Distance to the border in pixels, negative inside, to first order.
  radius = jnp.hypot(
    (rows - y) / (bubble.half_height * h),
    (columns - x) / (bubble.half_width * w),
  )
  outside = (radius - 1.0) * bubble.half_height * h
  # Below the diaphragm; beside the lungs' base, below the level of the edge.
  below = rows - jnp.where(base, lowest, edge) - bubble.wall * h
  fade = _EDGE * h
  inside = jax.nn.sigmoid(-outside / fade) * jax.nn.sigmoid(below / fade)
  amount = inside * ~lung * bubble.strength * bubble.shown * jnp.any(has_lung)

  of_lung = jnp.sum(image * lung[..., None], axis=(0, 1), keepdims=True)
  grey = bubble.grey * of_lung / jnp.maximum(lung.sum(), 1)
  return image - amount[..., None] * jnp.maximum(image - grey, 0.0)


def add_gas(
  key: jax.Array, image: jax.Array, mask: jax.Array, *, probability: float
) -> jax.Array:
  """Draws up to `BUBBLES` bubbles below the left lung of one image.

  Args:
    key: the example's own PRNG key.
    image: float32 `[h, w, c]` in [0, 1].
    mask: `[h, w, k]`, see `add_bubble`.
    probability: of each bubble, in [0, 1].

  Returns:
    float32 `[h, w, c]` in [0, 1].
  """
  for one in jax.random.split(key, BUBBLES):
    bubble = draw_bubble(one, probability=probability)
    image = add_bubble(image, mask, bubble=bubble)
  return image
