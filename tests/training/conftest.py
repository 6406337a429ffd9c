"""A network and data small enough that a step takes milliseconds."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from apppau_jax.batch import Batch
from apppau_jax.losses import objectives, tversky
from apppau_jax.models.segmentor import SegmentorOutput
from apppau_jax.training import optimizers, parallel, steps
from apppau_jax.training import state as state_lib


class TinyNet(nn.Module):
  """One convolution, one BatchNorm, one head: every kind of state."""

  @nn.compact
  def __call__(self, image, *, train):
    x = nn.Conv(4, (3, 3), use_bias=False)(image)
    x = nn.BatchNorm(use_running_average=not train, momentum=0.9)(x)
    logits = nn.Conv(1, (1, 1))(nn.relu(x))
    return SegmentorOutput(logits=logits, side_logits=(logits,), attention={})


def objective(output, batch):
  return objectives.segmentation_objective(
    output.side_logits,
    batch.mask,
    has_mask=batch.has_mask,
    loss_fn=functools.partial(tversky.tversky_loss, smooth=1.0),
  )


def prepare(key, batch):
  noise = 0.1 * jax.random.normal(key, batch.image.shape)
  image = batch.image.astype(jnp.float32) / 255.0 + noise
  return batch.replace(image=image, mask=batch.mask.astype(jnp.float32))


@pytest.fixture(scope="session")
def resident():
  rng = np.random.default_rng(0)
  image = rng.integers(0, 256, (8, 16, 16, 1)).astype(np.uint8)
  return Batch(
    image=jnp.asarray(image),
    mask=jnp.asarray((image > 128).astype(np.uint8)),
    label=jnp.zeros(8, jnp.int32),
    has_mask=jnp.ones(8, bool),
    has_label=jnp.ones(8, bool),
  ).check()


class Tiny:
  """Builds the parts of a tiny run, afresh at each call."""

  module = TinyNet()
  objective = staticmethod(objective)
  prepare = staticmethod(prepare)

  def __init__(self, *, learning_rate=0.05):
    self.rate = optimizers.make_schedule(
      "constant", learning_rate=learning_rate, steps=100
    )
    self.optimizer = optimizers.make_optimizer(schedule=self.rate)

  def step(self, *, ema_decay=0.9, seed=0, objective=objective):
    return steps.make_train_step(
      self.module,
      objective=objective,
      optimizer=self.optimizer,
      prepare=prepare,
      ema_decay=ema_decay,
      seed=seed,
    )

  def prepare_key(self, *, seed, step):
    """S's key for `prepare` at a step."""
    key = jax.random.fold_in(jax.random.key(seed), step)
    return jax.random.split(jax.random.split(key)[0])[0]

  def init(self):
    player = state_lib.init_player(
      self.module,
      jnp.zeros((1, 16, 16, 1)),
      key=jax.random.key(0),
      optimizer=self.optimizer,
    )
    return state_lib.TrainState(step=jnp.int32(0), segmentor=player)

  def mesh(self, count=1):
    return parallel.make_mesh(batch_size=4, devices=jax.devices()[:count])

  def state(self, count=1):
    return parallel.compile_init(self.init, self.mesh(count))


@pytest.fixture
def tiny():
  return Tiny()


@pytest.fixture(scope="session")
def make_tiny():
  return Tiny
