"""Strong views of unlabelled images, for the consistency terms.

Intensities change as in `augment`; then CutMix (Yun et al. 2019,
arXiv:1905.04899; for semi-supervised segmentation French et al. 2020,
arXiv:1906.01916) puts a box of the next image of the batch into each image,
and what is true of the one into what is true of the other.
"""

import jax
import jax.numpy as jnp

from apppau_jax.data.augment import Augmentation, augment

_SIDES = (0.25, 0.6)  # of a box, fractions of height and of width


def strong_view(
  key: jax.Array,
  image: jax.Array,
  target: jax.Array,
  *,
  spec: Augmentation,
  cutmix: float,
) -> tuple[jax.Array, jax.Array]:
  """Disturbs images; pixels stay where they are.

  Args:
    key: one PRNG key for the batch.
    image: float32 `[b, h, w, c]` in [0, 1].
    target: float32 `[b, h, w, k]`, what is true of each pixel.
    spec: intensity ranges; its geometry must be off.
    cutmix: share of the images that get a box.

  Returns:
    The images and the targets that are true of them.
  """
  if spec.moves_pixels:
    raise ValueError("a strong view must not move pixels: the targets do not")
  key_values, key_boxes = jax.random.split(key)
  image, _ = augment(key_values, image, target, spec=spec)
  if not cutmix:
    return image, target
  b, h, w, _ = image.shape
  inside = boxes(key_boxes, (b, h, w), share=cutmix)
  image = jnp.where(inside, jnp.roll(image, 1, axis=0), image)
  return image, jnp.where(inside, jnp.roll(target, 1, axis=0), target)


def boxes(
  key: jax.Array, shape: tuple[int, int, int], *, share: float
) -> jax.Array:
  """One random box an example, or none.

  Args:
    key: one PRNG key for the batch; example i uses `fold_in(key, i)`.
    shape: b, h, w.
    share: probability that an example has a box.

  Returns:
    bool `[b, h, w, 1]`, True inside; a box lies within its image.
  """
  b, h, w = shape

  def one(position):
    u = jax.random.uniform(jax.random.fold_in(key, position), (5,))
    low, high = _SIDES
    height, width = (low + (high - low) * u[:2]) * jnp.array([h, w])
    top, left = u[2] * (h - height), u[3] * (w - width)
    y, x = jnp.arange(h)[:, None] + 0.5, jnp.arange(w)[None, :] + 0.5
    inside = (y >= top) & (y < top + height) & (x >= left) & (x < left + width)
    return inside & (u[4] < share)

  return jax.vmap(one)(jnp.arange(b))[..., None]
