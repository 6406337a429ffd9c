"""Everything that the training loop needs, from a configuration and data."""

import functools
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import numpy as np

from apppau_jax.datasets.dataset import Dataset
from apppau_jax.datasets.parts import Parts
from apppau_jax.errors import ConfigError
from apppau_jax.experiment import (
  data,
  input_pipeline,
  networks,
  step,
  step_checks,
  validation,
)
from apppau_jax.experiment.networks import Config
from apppau_jax.training import (
  checkpoints,
  example_order,
  loop,
  mirror,
  parallel,
)
from apppau_jax.training.state import SEGMENTOR, TrainState

_SEVERAL = 50  # steps a call where dispatching one costs as much as a small one


def plan(config: Config, chosen: Parts) -> loop.Plan:
  """Return the length of a run in steps.

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
  """Return the fastest choice: XLA:CPU is slow at convolutions inside a loop.

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
  """Return the `latest` or the `best` checkpoints of a run."""
  folder = workdir / "checkpoints" / name
  return checkpoints.Store(folder, read_only=read_only)


def assemble(
  config: Config,
  chosen: Parts,
  *,
  dataset: Dataset,
  workdir: pathlib.Path,
  meta: Mapping[str, Any],
) -> tuple[loop.Run, TrainState]:
  """Return the run and its fresh state."""
  training = data.load_training(config, dataset, parts=chosen)
  step_checks.check(
    config,
    unlabelled=len(chosen.train_unlabelled),
    labels=training.label,
  )
  try:
    mesh = parallel.make_mesh(batch_size=config.train.batch_size)
  except ValueError as error:
    raise ConfigError(f"{error}") from error
  lengths = plan(config, chosen)
  # The seed is an argument of the programs, not a part: runs that differ in
  # nothing else find them in the compilation cache.
  seed = parallel.replicate(np.uint32(config.seed), mesh)
  pure, init = step_and_init(config, lengths)
  order_of = input_pipeline.minibatches(config, chosen)
  run = loop.Run(
    plan=lengths,
    train_step=functools.partial(
      parallel.compile_train_step(
        pure, mesh, steps_per_call=lengths.steps_per_call
      ),
      seed=seed,
    ),
    feed=input_pipeline.feed(training, order=order_of, mesh=mesh, plan=lengths),
    order=order_of,
    ids=training.ids,
    evaluate_fn=validation.validation(
      config,
      data.load(config, dataset, ids=chosen.validation, part="validation"),
      mesh,
      more=data.load_classes(config, dataset, parts=chosen, part="validation"),
    ),
    select_by=config.train.select_by,
    learning_rate=parallel.compile_rate(
      networks.schedule(config, lengths, player=SEGMENTOR)
    ),
    latest=store(workdir, "latest"),
    best=store(workdir, "best"),
    meta=meta,
    workdir=workdir,
    make_mirror=functools.partial(
      mirror.Mirror, config.train.mirror, workdir=workdir, config=config.flat()
    ),
  )
  return run, parallel.compile_init(init, mesh, seed)


def step_together(
  configs: Sequence[Config], lengths: loop.Plan
) -> Callable[..., Any]:
  """Return the compiled step of runs that differ in seed and examples only.

  It takes and returns tuples, see `members` of `parallel.compile_train_step`.
  """
  mesh = parallel.make_mesh(batch_size=configs[0].train.batch_size)
  pure, _ = step_and_init(configs[0], lengths)
  seeds = np.array([config.seed for config in configs], np.uint32)
  return functools.partial(
    parallel.compile_train_step(
      pure,
      mesh,
      steps_per_call=lengths.steps_per_call,
      members=len(configs),
    ),
    seed=parallel.replicate(seeds, mesh),
  )


def step_and_init(
  config: Config, lengths: loop.Plan
) -> tuple[parallel.Step, Callable[..., TrainState]]:
  """Return the pure step and the maker of its first state.

  The latter takes a seed, or none for that of the configuration.
  """

  def init(seed: int | jax.Array | None = None) -> TrainState:
    return networks.init(config, lengths, seed=seed)

  return step.training_step(config, lengths), init
