"""Strong views of unlabelled images, for the consistency terms.

Intensities change as in `augment`; then a box of another image is put into each
image, and what is true of the one into what is true of the other. The other is

  the next unlabelled image: CutMix (Yun et al. 2019, arXiv:1905.04899; for
  semi-supervised segmentation French et al. 2020, arXiv:1906.01916), or
  an image with a drawn mask: bidirectional copy-paste (Bai et al. 2023,
  arXiv:2305.00673), as often a box of it as all of it but a box.
"""

import jax
import jax.numpy as jnp

from apppau_jax.transforms.augment import Augmentation, augment

# Of a box, fractions of height and of width.
_SIDES = (0.25, 0.6)
_SIDES_KNOWN = (0.45, 0.85)  # half an image each, in the mean


def strong_view(
  key: jax.Array,
  image: jax.Array,
  target: jax.Array,
  *,
  spec: Augmentation,
  cutmix: float,
  known: tuple[jax.Array, jax.Array] | None = None,
) -> tuple[jax.Array, jax.Array]:
  """Disturbs images; pixels stay where they are.

  Args:
    key: one PRNG key for the batch.
    image: float32 `[b, h, w, c]` in [0, 1].
    target: float32 `[b, h, w, k]`, what is true of each pixel.
    spec: intensity ranges; its geometry must be off.
    cutmix: share of the images that get a box.
    known: images `[m, h, w, c]` in [0, 1] and their masks `[m, h, w, k]`, to
      mix with, the first with the first and so on around; disturbed likewise.
      None mixes the images among themselves.

  Returns:
    The images and the targets that are true of them.
  """
  if spec.moves_pixels:
    raise ValueError("a strong view must not move pixels: the targets do not")
  key_values, key_boxes, key_known, key_sides = jax.random.split(key, 4)
  image, _ = augment(key_values, image, target, spec=spec)
  if not cutmix:
    return image, target
  b, h, w, _ = image.shape
  sides = _SIDES if known is None else _SIDES_KNOWN
  inside = boxes(key_boxes, (b, h, w), share=cutmix, sides=sides)
  if known is None:
    other = (jnp.roll(image, 1, axis=0), jnp.roll(target, 1, axis=0))
  else:
    rows = jnp.arange(b) % len(known[0])
    other = augment(key_known, known[0][rows], known[1][rows], spec=spec)
    outside = jax.random.bernoulli(key_sides, shape=(b, 1, 1, 1))
    boxed = inside.any(axis=(1, 2), keepdims=True)
    inside = inside ^ (outside & boxed)
  image = jnp.where(inside, other[0], image)
  return image, jnp.where(inside, other[1].astype(target.dtype), target)


def boxes(
  key: jax.Array,
  shape: tuple[int, int, int],
  *,
  share: float,
  sides: tuple[float, float],
) -> jax.Array:
  """One random box an example, or none.

  Args:
    key: one PRNG key for the batch; example i uses `fold_in(key, i)`.
    shape: b, h, w.
    share: probability that an example has a box.
    sides: least and largest, as fractions of height and of width.

  Returns:
    bool `[b, h, w, 1]`, True inside; a box lies within its image.
  """
  b, h, w = shape

  def one(position):
    u = jax.random.uniform(jax.random.fold_in(key, position), (5,))
    low, high = sides
    height, width = (low + (high - low) * u[:2]) * jnp.array([h, w])
    top, left = u[2] * (h - height), u[3] * (w - width)
    y, x = jnp.arange(h)[:, None] + 0.5, jnp.arange(w)[None, :] + 0.5
    inside = (y >= top) & (y < top + height) & (x >= left) & (x < left + width)
    return inside & (u[4] < share)

  return jax.vmap(one)(jnp.arange(b))[..., None]
