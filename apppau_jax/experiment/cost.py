"""What a training step costs, from shapes alone: no data, no parameters."""

import dataclasses
import statistics
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from apppau_jax.batch import Batch
from apppau_jax.experiment import assemble, networks
from apppau_jax.experiment import step as step_lib
from apppau_jax.experiment.networks import Config
from apppau_jax.imaging import grey_levels
from apppau_jax.training import example_order, loop, parallel
from apppau_jax.training import state as state_lib

_TIMED = 5  # steps, after the first


@dataclasses.dataclass(frozen=True, kw_only=True)
class Cost:
  """A compiled step, seen from outside.

  Attributes:
    parameters: trainable scalars by player.
    flops: floating-point operations of a step, see `flops`.
    bytes: read and written by a step, by XLA's estimate; 0 where it has none.
    memory: peak of a step in bytes: state, data set, temporaries.
    steps_per_epoch: steps of a pass over the training images.
    steps: of the whole run.
    compile_seconds: tracing and compiling (or reading the cache).
    step_seconds: median of a few steps; None if none was timed.
  """

  parameters: dict[str, int]
  flops: float
  bytes: float
  memory: int
  steps_per_epoch: int
  steps: int
  compile_seconds: float
  step_seconds: float | None


def cost(config: Config, *, images: int, timed: bool = False) -> Cost:
  """Compiles one step of `config` on `images` training images.

  Args:
    config: the configuration; its data need not exist.
    images: training images, labelled or not.
    timed: whether to run some steps, on black images.

  Raises:
    ConfigError: what the configuration combines no run would take.
  """
  config = _one_step_a_call(config)
  # How many are unlabelled only the data tell: some, where a batch wants them.
  step_lib.check_players(config, unlabelled=images)
  lengths = _lengths(config, images)
  step, init = assemble.step_and_init(config, lengths)
  mesh = _mesh(config)
  shapes = parallel.shapes(init, mesh)
  began = time.perf_counter()
  compiled = _lower(step, shapes, config, images=images).compile()
  took = time.perf_counter() - began
  seconds = None
  if timed:
    state = parallel.compile_init(init, mesh)
    resident = parallel.replicate(_black(config, images), mesh)
    seconds = _time(compiled, state, resident, _rows(config))
  moved: Any = compiled.cost_analysis() or {}
  return Cost(
    parameters=_parameters(shapes),
    flops=flops(config, images=images),
    bytes=float(moved.get("bytes accessed", 0.0)),
    memory=_memory(compiled),
    steps_per_epoch=lengths.steps_per_epoch,
    steps=lengths.steps,
    compile_seconds=took,
    step_seconds=seconds,
  )


def flops(config: Config, *, images: int) -> float:
  """Floating-point operations of one step on `images` training images.

  By XLA's count, before it compiles and with its own convolutions: those of a
  library, as a GPU has them, are calls that it does not count.
  """
  config = _one_step_a_call(config)
  config.model.convolutions = "xla"
  step, init = step_and_init(config, images=images)
  shapes = parallel.shapes(init, _mesh(config))
  counted = _lower(step, shapes, config, images=images).cost_analysis() or {}
  return float(counted.get("flops", 0.0))


def step_and_init(
  config: Config, *, images: int
) -> tuple[parallel.Step, Callable[[], state_lib.TrainState]]:
  """The pure step of a run on so many images, and its first state's maker."""
  return assemble.step_and_init(config, _lengths(config, images))


def _lengths(config: Config, images: int) -> loop.Plan:
  per_epoch = example_order.steps_per_epoch(images, config.train.batch_size)
  return loop.Plan(
    steps=config.train.epochs * per_epoch,
    steps_per_epoch=per_epoch,
    log_every=config.train.log_every,
    eval_every=config.train.eval_every_epochs * per_epoch,
  )


def _one_step_a_call(config: Config) -> Config:
  """A copy of it; XLA counts a loop's body once."""
  config = config.copy_and_resolve_references()
  config.train.steps_per_call = 1
  return config


def _mesh(config: Config) -> jax.sharding.Mesh:
  return parallel.make_mesh(
    batch_size=config.train.batch_size, devices=jax.devices()[:1]
  )


def _lower(
  step: parallel.Step,
  shapes: state_lib.TrainState,
  config: Config,
  *,
  images: int,
) -> Any:
  """The step on a resident data set, ready to be counted or compiled."""
  jitted: Any = parallel.compile_train_step(step, _mesh(config))
  black = jax.eval_shape(lambda: _black(config, images))
  return jitted.lower(shapes, black, _rows(config))


def _rows(config: Config) -> np.ndarray:
  size = config.train.batch_size
  shape = (2, size) if config.discriminator.enabled else (size,)
  return np.zeros(shape, np.int32)


def _black(config: Config, images: int) -> Batch:
  """A resident data set of that many black images."""
  shape = (images, config.data.resolution, config.data.resolution)
  return Batch(
    image=jnp.zeros((*shape, 1), grey_levels.dtype_of(config.data.bits)),
    mask=jnp.zeros((*shape, networks.masks(config)), jnp.uint8),
    label=jnp.zeros(images, jnp.int32),
    has_mask=jnp.ones(images, bool),
    has_label=jnp.ones(images, bool),
  )


def _parameters(shapes: state_lib.TrainState) -> dict[str, int]:
  short = {"segmentor": "S", "discriminator": "D"}
  return {
    short.get(name, name): state_lib.parameter_count(player.params)
    for name, player in shapes.players.items()
  }


def _memory(compiled) -> int:
  """Arguments, results that are no donated arguments, and temporaries."""
  sizes = compiled.memory_analysis()
  return (
    sizes.argument_size_in_bytes
    + sizes.output_size_in_bytes
    - sizes.alias_size_in_bytes
    + sizes.temp_size_in_bytes
  )


def _time(compiled, state, resident: Batch, rows: np.ndarray) -> float:
  took = []
  for _ in range(_TIMED + 1):
    began = time.perf_counter()
    state, _ = compiled(state, resident, rows)
    jax.block_until_ready(state)
    took.append(time.perf_counter() - began)
  return statistics.median(took[1:])
