"""Strong views of unlabelled images.

Intensities change as in `transforms.augment`. Then a box of another image is
pasted into each image, and the target of the one into that of the other. The
other image is

  "unlabelled": the next unlabelled image, CutMix (Yun et al. 2019,
    arXiv:1905.04899; for semi-supervised segmentation French et al. 2020,
    arXiv:1906.01916), or
  "labelled": an image with a mask, bidirectional copy-paste (Bai et al. 2023,
    arXiv:2305.00673). In half of the cases everything but the box is pasted.
"""

import jax
import jax.numpy as jnp

from apppau_jax.transforms.augment import Augmentation, augment

# Range of the sides of a box, as fractions of height and of width.
_SIDES = (0.25, 0.6)
_SIDES_LABELLED = (0.45, 0.85)  # half an image in the mean
CUTMIX_WITH = ("unlabelled", "labelled")


def strong_view(
  key: jax.Array,
  image: jax.Array,
  target: jax.Array,
  *,
  intensity: Augmentation,
  cutmix: float = 0.0,
  cutmix_with: str = "unlabelled",
  labelled: tuple[jax.Array, jax.Array] | None = None,
) -> tuple[jax.Array, jax.Array]:
  """Disturb images and pastes boxes into them.

  Args:
    key: one PRNG key for the batch.
    image: float32 `[b, h, w, c]` in [0, 1].
    target: float32 `[b, h, w, k]`, the target of each pixel.
    intensity: ranges of the intensity changes; its geometry must be off.
    cutmix: share of the images that get a box, in [0, 1].
    cutmix_with: "unlabelled" or "labelled", see above.
    labelled: images `[m, h, w, c]` in [0, 1] and masks `[m, h, w, k]`; image i
      is mixed with image i % m of them, disturbed likewise.

  Returns:
    The images, and the targets of their pixels.

  Raises:
    ValueError: `intensity` moves pixels, there is no such `cutmix_with`, or
      it needs labelled images and there are none.
  """
  if intensity.moves_pixels:
    raise ValueError("a strong view must not move pixels: the targets do not")
  if cutmix_with not in CUTMIX_WITH:
    raise ValueError(
      f"cutmix_with is {cutmix_with!r}, not one of {', '.join(CUTMIX_WITH)}"
    )
  key_values, key_boxes, key_labelled, key_sides = jax.random.split(key, 4)
  image, _ = augment(key_values, image, target, spec=intensity)
  if not cutmix:
    return image, target
  b, h, w, _ = image.shape
  if cutmix_with == "unlabelled":
    inside = boxes(key_boxes, (b, h, w), share=cutmix, sides=_SIDES)
    other = (jnp.roll(image, 1, axis=0), jnp.roll(target, 1, axis=0))
  else:
    if labelled is None:
      raise ValueError("cutmix_with='labelled' needs labelled images")
    inside = boxes(key_boxes, (b, h, w), share=cutmix, sides=_SIDES_LABELLED)
    rows = jnp.arange(b) % len(labelled[0])
    other = augment(
      key_labelled, labelled[0][rows], labelled[1][rows], spec=intensity
    )
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
  """Draw one random box an example, or none.

  Args:
    key: one PRNG key for the batch; example i uses `fold_in(key, i)`.
    shape: b, h, w.
    share: probability that an example has a box.
    sides: smallest and largest side, as fractions of height and of width.

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
