"""Trains on some devices and processes, and writes losses and parameters.

A script, because devices are chosen before JAX starts; `multi_device_test` runs
it.

  python tests/training/multi_device_worker.py --devices=4 --out=four.npz
"""

import argparse
import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax

from apppau_jax.batch import Batch
from apppau_jax.losses import objectives, tversky
from apppau_jax.models import discriminator, segmentor
from apppau_jax.training import (
  distributed,
  example_order,
  optimizers,
  parallel,
  step_terms,
  steps,
)
from apppau_jax.training import state as state_lib
from apppau_jax.transforms import augment

SIDE, COUNT, LABELLED = 32, 24, 12
BATCH, WITH_MASKS = 16, 8  # rows of a minibatch
SGD = optax.sgd(0.05)
D = discriminator.Discriminator(base_width=2, depth=2, dropout=0.4)
SPEC = augment.Augmentation(rotate_degrees=15.0, contrast=0.2, noise=0.05)


def examples() -> Batch:
  """Bright discs at random places, half of them with masks and classes."""
  rng = np.random.default_rng(0)
  y, x = np.mgrid[:SIDE, :SIDE]
  at = rng.uniform(10, 22, (COUNT, 2, 1, 1))
  radius = rng.uniform(5, 9, (COUNT, 1, 1))
  mask = (y - at[:, 0]) ** 2 + (x - at[:, 1]) ** 2 < radius**2
  image = 100 * mask + rng.integers(0, 120, mask.shape)
  known = np.arange(COUNT) < LABELLED
  return Batch(
    image=image.astype(np.uint8)[..., None],
    mask=(mask & known[:, None, None]).astype(np.uint8)[..., None],
    label=np.where(known, radius[:, 0, 0] > 7, -1).astype(np.int32),
    has_mask=known,
    has_label=known,
  )


def rows(step: int, *, game: bool) -> np.ndarray:
  """The examples of a step, labelled first."""

  def minibatch(turn):
    seen = example_order.batch_indices(
      seed=0, step=turn, size=LABELLED, batch_size=WITH_MASKS
    )
    unseen = example_order.batch_indices(
      seed=0, step=turn, size=LABELLED, batch_size=BATCH - WITH_MASKS, stream=1
    )
    return np.concatenate([seen, LABELLED + unseen])

  if game:
    return np.stack([minibatch(2 * step), minibatch(2 * step + 1)])
  return minibatch(step)


def _prepare(key, batch):
  image = batch.image.astype(jnp.float32) / 255.0
  image, mask = augment.augment(
    key, image, batch.mask.astype(jnp.float32), spec=SPEC
  )
  return batch.replace(image=image, mask=mask)


def network(depth: int, preset: str) -> segmentor.Segmentor:
  """S."""
  return segmentor.from_preset(preset, base_width=2, depth=depth)


def make_step(*, game: bool, depth: int = 2, preset: str = "ppau_unet"):
  """The step of S, and of D if `game`."""
  discriminator = step_terms.Discriminator(
    module=D,
    optimizer=SGD,
    objective=functools.partial(
      objectives.discriminator_objective, predicted_weight=0.5
    ),
    adversarial=functools.partial(
      objectives.adversarial_objective, weight=0.1, unlabelled_weight=0.1
    ),
    adversarial_ramp=optimizers.ramp_up(steps=0),
    mask_smoothing=0.05,
  )
  return steps.TrainStep(
    segmentor=network(depth, preset),
    objective=functools.partial(
      objectives.segmentation_objective,
      loss_fn=functools.partial(tversky.tversky_loss, smooth=1.0),
    ),
    optimizer=SGD,
    prepare=_prepare,
    ema_decay=0.9,
    labelled=WITH_MASKS,
    discriminator=discriminator if game else None,
  )


def make_state(
  *, game: bool, depth: int = 2, preset: str = "ppau_unet"
) -> state_lib.TrainState:
  """The fresh state, to be compiled."""
  image = jnp.zeros((1, SIDE, SIDE, 1))
  init = functools.partial(state_lib.init_player, optimizer=SGD)
  key = jax.random.key(0)
  players = {"segmentor": init(network(depth, preset), image, key=key)}
  if game:
    key = jax.random.key(1)
    players["discriminator"] = init(D, image, image, key=key)
  return state_lib.TrainState(step=jnp.int32(0), players=players)


def train(
  devices, *, game: bool, stream=False, depth=2, preset="ppau_unet", count=20
) -> dict[str, np.ndarray]:
  """Return losses `[count, ...]`, the rows used and the final state by name."""
  mesh = parallel.make_mesh(batch_size=BATCH, devices=devices)
  init = functools.partial(make_state, game=game, depth=depth, preset=preset)
  step_fn = make_step(game=game, depth=depth, preset=preset)
  state = parallel.compile_init(init, mesh)
  seen, read, losses = [], [], []
  resident = parallel.replicate(examples(), mesh)
  run = parallel.compile_train_step(step_fn, mesh)
  for step in range(count):
    seen.append(rows(step, game=game))
    given = resident, seen[-1]
    if stream:
      read.append(parallel.own_rows(seen[-1], mesh).ravel())
      own = jax.tree.map(lambda leaf: leaf[read[-1]], examples())
      given = parallel.spread(own, seen[-1], mesh), None
    state, metrics = run(state, *given)
    names = [k for k in sorted(metrics) if k.endswith("loss")]
    losses.append([float(metrics[k]) for k in names])
  leaves, _ = jax.tree_util.tree_flatten_with_path(state)
  return {
    "losses": np.array(losses),
    "rows": np.array(seen),
    "read": np.array(read),
    **{jax.tree_util.keystr(k): np.asarray(v) for k, v in leaves},
  }


def main() -> None:
  """Reads the flags, trains, writes."""
  flags = argparse.ArgumentParser()
  flags.add_argument("--devices", type=int, default=1)  # of this process
  flags.add_argument("--coordinator")
  flags.add_argument("--processes", type=int, default=1)
  flags.add_argument("--process", type=int, default=0)
  for switch in ("game", "stream"):
    flags.add_argument(f"--{switch}", action="store_true")
  flags.add_argument("--out", required=True)
  given = flags.parse_args()
  jax.config.update("jax_num_cpu_devices", given.devices)
  if given.processes > 1:
    jax.distributed.initialize(
      given.coordinator, given.processes, given.process
    )
    distributed.meet()
  found = train(jax.devices(), game=given.game, stream=given.stream)
  np.savez(given.out, **found)


if __name__ == "__main__":
  main()
