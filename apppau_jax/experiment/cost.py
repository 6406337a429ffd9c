"""What a training step costs, from shapes alone: no data, no parameters."""

import copy
import dataclasses
import statistics
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from apppau_jax.batch import Batch
from apppau_jax.experiment import assemble, networks, step_checks
from apppau_jax.experiment.networks import Config
from apppau_jax.imaging import grey_levels
from apppau_jax.training import example_order, loop, parallel
from apppau_jax.training import state as state_lib

_REPEATS = 5  # of what is timed, after a first time


@dataclasses.dataclass(frozen=True, kw_only=True)
class Cost:
  """The cost of a compiled step and of its run.

  Attributes:
    parameters: trainable scalars by player.
    flops: floating-point operations of a step, see `flops`.
    bytes: read and written by a step, by XLA's estimate; 0 where it has none.
    memory: peak of a step in bytes: state, data set, temporaries.
    plan: lengths of the run in steps.
    compile_seconds: tracing and compiling (or reading the cache).
    step_seconds: median of a few steps; None if none was timed.
  """

  parameters: dict[str, int]
  flops: float
  bytes: float
  memory: int
  plan: loop.Plan
  compile_seconds: float
  step_seconds: float | None


def cost(config: Config, *, images: int, timed: bool = False) -> Cost:
  """Compiles one step of a configuration on one device.

  Args:
    config: the configuration; its data need not exist.
    images: training images, labelled or not.
    timed: whether to run a few steps on black images.

  Raises:
    ConfigError: no run would accept the configuration.
  """
  # Only the data tell how many images are unlabelled: assume some.
  step_checks.check_players(config, unlabelled=images)
  began = time.perf_counter()
  lowered, init, shapes = _lower(config, images)
  compiled = lowered.compile()
  took = time.perf_counter() - began
  moved: Any = compiled.cost_analysis() or {}
  sizes = compiled.memory_analysis()
  return Cost(
    parameters=_parameters(shapes),
    flops=flops(config, images=images),
    bytes=float(moved.get("bytes accessed", 0.0)),
    memory=sizes.argument_size_in_bytes
    + sizes.output_size_in_bytes
    - sizes.alias_size_in_bytes  # results in donated arguments
    + sizes.temp_size_in_bytes,
    plan=plan(config, images=images),
    compile_seconds=took,
    step_seconds=_time(compiled, init, config, images) if timed else None,
  )


def flops(config: Config, *, images: int) -> float:
  """Returns the floating-point operations of a step.

  They are counted by XLA before it compiles, with its own convolutions: those
  of a library, as on a GPU, are calls that it does not count.
  """
  config = copy.deepcopy(config)
  config.model.convolutions = "xla"
  counted = _lower(config, images)[0].cost_analysis() or {}
  return float(counted.get("flops", 0.0))


def step_and_init(
  config: Config, *, images: int
) -> tuple[parallel.Step, Callable[[], state_lib.TrainState]]:
  """Returns the pure step of a run and the function of its first state."""
  return assemble.step_and_init(config, plan(config, images=images))


def plan(config: Config, *, images: int) -> loop.Plan:
  """Returns the lengths of a run on so many images, with one step a call."""
  per_epoch = example_order.steps_per_epoch(images, config.train.batch_size)
  return loop.Plan(
    steps=config.train.epochs * per_epoch,
    steps_per_epoch=per_epoch,
    log_every=config.train.log_every,
    eval_every=config.train.eval_every_epochs * per_epoch,
  )


def matrix_rate(dtype: str = "float32") -> float:
  """Returns FLOP/s of a large matrix product, the best of a few.

  Args:
    dtype: of the matrices. Accelerators multiply float32 as JAX does by
      default (TF32 on NVIDIA).
  """
  side = 2048 if jax.default_backend() == "cpu" else 8192
  square = jnp.ones((side, side), jnp.dtype(dtype))
  product = jax.jit(jnp.matmul)
  return 2.0 * side**3 / min(_seconds(lambda: product(square, square)))


def _lower(config: Config, images: int) -> tuple[Any, Any, Any]:
  """The lowered step on a data set in memory; its first state, and shapes."""
  step, init = step_and_init(config, images=images)
  shapes = parallel.shapes(init, _mesh(config))
  jitted: Any = parallel.compile_train_step(step, _mesh(config))
  black = jax.eval_shape(lambda: _black(config, images))
  return jitted.lower(shapes, black, _rows(config)), init, shapes


def _mesh(config: Config) -> jax.sharding.Mesh:
  return parallel.make_mesh(
    batch_size=config.train.batch_size, devices=jax.devices()[:1]
  )


def _rows(config: Config) -> np.ndarray:
  size = config.train.batch_size
  shape = (2, size) if config.discriminator.enabled else (size,)
  return np.zeros(shape, np.int32)


def _black(config: Config, images: int) -> Batch:
  shape = (images, config.data.resolution, config.data.resolution)
  return Batch(
    image=jnp.zeros((*shape, 1), grey_levels.dtype_of(config.data.bits)),
    mask=jnp.zeros((*shape, networks.masks(config)), jnp.uint8),
    label=jnp.zeros(
      (images, len(networks.class_names(config)))
      if networks.is_multi_label(config)
      else images,
      jnp.int32,
    ),
    has_mask=jnp.ones(images, bool),
    has_label=jnp.ones(images, bool),
  )


def _parameters(shapes: state_lib.TrainState) -> dict[str, int]:
  short = {"segmentor": "S", "discriminator": "D"}
  return {
    short.get(name, name): state_lib.parameter_count(player.params)
    for name, player in shapes.players.items()
  }


def _time(compiled: Any, init: Any, config: Config, images: int) -> float:
  """Median seconds of a step on black images."""
  mesh, rows = _mesh(config), _rows(config)
  resident = parallel.replicate(_black(config, images), mesh)
  state = parallel.compile_init(init, mesh)

  def step() -> Any:
    nonlocal state
    state, _ = compiled(state, resident, rows)
    return state

  return statistics.median(_seconds(step))


def _seconds(call: Callable[[], Any]) -> list[float]:
  took = []
  for _ in range(_REPEATS + 1):
    began = time.perf_counter()
    jax.block_until_ready(call())
    took.append(time.perf_counter() - began)
  return took[1:]
