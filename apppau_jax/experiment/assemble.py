"""Everything the loop needs, and the state to start from."""

import functools
import pathlib
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np
import optax
from jax.sharding import Mesh

from apppau_jax.datasets.dataset import Dataset
from apppau_jax.datasets.splits import Parts
from apppau_jax.experiment import (
  data,
  input_pipeline,
  networks,
  objectives,
  validation,
)
from apppau_jax.experiment.memoize import shared
from apppau_jax.experiment.networks import Config
from apppau_jax.training import (
  checkpoints,
  example_order,
  loop,
  parallel,
  steps,
)
from apppau_jax.training import state as state_lib

_SEVERAL = 50  # where dispatching a step costs as much as a small one


def plan(config: Config, chosen: Parts) -> loop.Plan:
  """Lengths in steps.

  An epoch is as many steps as pass over all training images, however few of
  them are labelled or used: runs of equal length see equally many examples.
  """
  size = len(chosen.train_labelled) + len(chosen.train_unlabelled)
  per_epoch = example_order.steps_per_epoch(size, config.train.batch_size)
  eval_every = config.train.eval_every_epochs * per_epoch
  several = config.train.steps_per_call or _steps_per_call(config, eval_every)
  return loop.Plan(
    steps=config.train.epochs * per_epoch,
    steps_per_epoch=per_epoch,
    log_every=config.train.log_every,
    eval_every=eval_every,
    steps_per_call=several,
  )


def _steps_per_call(config: Config, eval_every: int) -> int:
  """What is fastest here: XLA:CPU is slow at convolutions inside a loop.

  Elsewhere about `_SEVERAL`, and where possible a divisor of the steps between
  two evaluations: calls of a second length would be a second program.
  """
  if config.data.streaming or jax.default_backend() == "cpu":
    return 1
  even = [k for k in range(_SEVERAL // 5, _SEVERAL + 1) if eval_every % k == 0]
  return max(even, default=_SEVERAL)


def store(
  workdir: pathlib.Path, name: str, *, read_only: bool = False
) -> checkpoints.Store:
  """The `latest` or the `best` checkpoints of a run."""
  folder = workdir / "checkpoints" / name
  return checkpoints.Store(folder, read_only=read_only)


def assemble(
  config: Config,
  chosen: Parts,
  *,
  dataset: Dataset,
  workdir: pathlib.Path,
  meta: Mapping[str, Any],
) -> tuple[loop.Run, state_lib.TrainState]:
  """Returns the run and its fresh state."""
  objectives.check_players(config, unlabelled=len(chosen.train_unlabelled))
  mesh = parallel.make_mesh(batch_size=config.train.batch_size)
  training = data.load_training(config, dataset, parts=chosen)
  objectives.check_classes(config, known=training.label)
  lengths = plan(config, chosen)
  seed = parallel.replicate(np.uint32(config.seed), mesh)
  step = _train_step(
    config, lengths=lengths, mesh=mesh, examples=len(training.ids)
  )
  state = _init(config, lengths=lengths, mesh=mesh)(seed)
  order_of = input_pipeline.minibatches(config, chosen)
  return loop.Run(
    plan=lengths,
    train_step=functools.partial(step, seed=seed),
    feed=input_pipeline.feed(training, order=order_of, mesh=mesh, plan=lengths),
    order=order_of,
    ids=training.ids,
    evaluate_fn=validation.validation(
      config, data.load(config, dataset, ids=chosen.validation), mesh
    ),
    select_by=config.train.select_by,
    learning_rate=parallel.compile_rate(_optimizers(config, lengths)[0]),
    latest=store(workdir, "latest"),
    best=store(workdir, "best"),
    meta=meta,
    workdir=workdir,
  ), state


@shared(*networks.INIT_KEYS)
def _init(
  config: Config, *, lengths: loop.Plan, mesh: Mesh
) -> Callable[..., state_lib.TrainState]:
  """Maps a seed to the state that its run begins with; compiled."""
  _, transform, other = _optimizers(config, lengths)
  return parallel.make_init(
    lambda seed: networks.init(config, transform, other, seed=seed),
    mesh,
    np.uint32(0),
    name=["init", config.to_dict()],
  )


@shared(
  "model",
  "loss",
  "optim",
  "augment",
  "adversarial",
  "consistency",
  *networks.D_KEYS,
  "data.normalize",
  "data.resolution",
  "data.bits",
  "data.structures",
  "data.streaming",
  "train.batch_size",
  "train.unlabelled_in_batch",
)
def _train_step(
  config: Config, *, lengths: loop.Plan, mesh: Mesh, examples: int
) -> Callable[..., Any]:
  """The compiled step of all runs that differ in seed and images only.

  Args:
    config: the configuration.
    lengths: of the run; learning rates and ramps follow them.
    mesh: the devices.
    examples: how many there are; another number needs another program.
  """
  del examples
  config.seed = 0  # in vain: every run gives its own
  step, _ = step_and_init(config, lengths)
  return parallel.compile_train_step(
    step,
    mesh,
    steps_per_call=lengths.steps_per_call,
    name=["train step", config.to_dict(), lengths],
  )


def step_and_init(
  config: Config, lengths: loop.Plan
) -> tuple[parallel.Step, Callable[[], state_lib.TrainState]]:
  """The pure step and what makes its first state; computes nothing."""
  _, transform, other = _optimizers(config, lengths)
  step = steps.make_train_step(
    networks.segmentor(config),
    objective=objectives.segmentation(config),
    optimizer=transform,
    prepare=data.prepare(config),
    ema_decay=config.optim.ema_decay,
    seed=config.seed,
    adversary=objectives.adversary(config, lengths, other),
    consistency=objectives.consistent(config, lengths),
  )
  return step, lambda: networks.init(config, transform, other)


def _optimizers(
  config: Config, lengths: loop.Plan
) -> tuple[
  optax.Schedule, optax.GradientTransformation, optax.GradientTransformation
]:
  """S's learning rate, and both players' optimisers."""
  rate = networks.schedule(
    config, lengths, learning_rate=config.optim.learning_rate
  )
  other = networks.schedule(
    config, lengths, learning_rate=config.discriminator.learning_rate
  )
  return (
    rate,
    networks.optimizer(config, rate, player="segmentor"),
    networks.optimizer(config, other, player="discriminator"),
  )
