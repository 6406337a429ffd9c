"""A segmentor alone on thresholded images, for the measurement of scaling."""

import numpy as np


def player(preset: str, optimizer, *, width: int, side: int, depth: int = 4):
  """Return the step of S with the Dice loss, and its initialisation."""
  import jax
  import jax.numpy as jnp

  from apppau_jax.losses import dice, objectives
  from apppau_jax.models import segmentor
  from apppau_jax.training import state as state_lib
  from apppau_jax.training import steps

  module = segmentor.from_preset(preset, base_width=width, depth=depth)

  def prepare(key, batch):
    image = batch.image.astype(jnp.float32) / 255.0
    return batch.replace(image=image, mask=batch.mask.astype(jnp.float32))

  def objective(output, batch):
    return objectives.segmentation_objective(
      output.side_logits,
      batch.mask,
      has_mask=batch.has_mask,
      loss_fn=dice.dice_loss,
    )

  def init():
    player = state_lib.init_player(
      module,
      jnp.zeros((1, side, side, 1)),
      key=jax.random.key(0),
      optimizer=optimizer,
    )
    return state_lib.TrainState(step=jnp.int32(0), segmentor=player)

  step = steps.make_train_step(
    module,
    objective=objective,
    optimizer=optimizer,
    prepare=prepare,
    ema_decay=0.9,
    seed=0,
  )
  return step, init


def batch(image: np.ndarray):
  """Return a batch of uint8 images `[n, h, w, 1]`, bright pixels as mask."""
  from apppau_jax.batch import Batch

  count = len(image)
  return Batch(
    image=image,
    mask=(image > 128).astype(np.uint8),
    label=np.zeros(count, np.int32),
    has_mask=np.ones(count, bool),
    has_label=np.ones(count, bool),
  )
