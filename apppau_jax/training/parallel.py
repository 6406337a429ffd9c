"""The only file that says jit, mesh or sharding.

Data parallel over every device: the state is replicated, the batch split.
Under `jit` with named shardings BatchNorm's statistics are those of the whole
batch, so one device and many compute the same step.
"""

from collections.abc import Callable

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from apppau_jax.errors import ConfigError
from apppau_jax.training.state import TrainState
from apppau_jax.training.steps import Metrics

# (state, batch) or (state, batch, seed), see `steps.make_train_step`.
Step = Callable[..., tuple[TrainState, Metrics]]


def make_mesh(*, batch_size: int, devices=None) -> Mesh:
  """A one-dimensional mesh over all devices (or those given).

  Raises:
    ConfigError: `batch_size` cannot be split evenly over the devices.
  """
  devices = jax.devices() if devices is None else devices
  if batch_size % len(devices):
    raise ConfigError(
      f"train.batch_size={batch_size} cannot be split over {len(devices)} "
      f"devices; make it a multiple of {len(devices)}."
    )
  return Mesh(np.asarray(devices), ("data",))


def replicate(tree, mesh: Mesh):
  """Copies a tree onto every device of the mesh."""
  return jax.device_put(tree, NamedSharding(mesh, PartitionSpec()))


def make_init(
  init: Callable[..., TrainState], mesh: Mesh
) -> Callable[..., TrainState]:
  """Compiles `init`, which would be hundreds of small programs otherwise.

  It runs once: with little of LLVM's optimisation APPAU-Net's compiles in 12
  seconds of CPU time instead of 57, and runs for milliseconds either way.
  Level 0 would be 9 seconds, but gives wrong gradients (jaxlib 0.10.2).
  """
  return jax.jit(
    init,
    out_shardings=NamedSharding(mesh, PartitionSpec()),
    compiler_options={"xla_backend_optimization_level": 1},
  )


def compile_init(init: Callable[[], TrainState], mesh: Mesh) -> TrainState:
  """Runs `init` compiled."""
  return make_init(init, mesh)()


def compile_train_step(
  step: Step,
  mesh: Mesh,
  *,
  steps_per_call: int = 1,
) -> Callable[..., tuple[TrainState, Metrics]]:
  """Compiles `step` over the resident data set.

  The gather of the examples runs on the device, inside the step; the state is
  donated; a second trace would mean a compilation in mid-run: an error.

  Args:
    step: the pure step.
    mesh: the devices.
    steps_per_call: above 1, a call makes that many steps (or fewer, where it
      would pass an evaluation: another length is another program) in a loop
      on the device. For accelerators: XLA:CPU runs convolutions inside a loop
      fifteen times slower.

  Returns:
    `run(state, resident, indices)` with `indices` into `resident`: `[b]`, or
    `[m, b]` for a step of m minibatches; above one step a call with one more
    axis in front, of steps, and so have the metrics. A `seed` given to it
    takes the place of the step's own: then one program serves every seed.
  """
  replicated = NamedSharding(mesh, PartitionSpec())

  several = steps_per_call > 1
  lengths = set()

  def call(state, resident, indices, seed=None):
    length = len(indices) if several else 1
    if length in lengths:
      raise RuntimeError(
        "the training step was traced twice: the shape or type of its state, "
        f"data or indices (now {indices.shape}, {indices.dtype}) changed"
      )
    lengths.add(length)
    if not several:
      return gather_and_step(state, resident, indices, seed)
    return jax.lax.scan(
      lambda state, rows: gather_and_step(state, resident, rows, seed),
      state,
      indices,
    )

  def gather_and_step(state, resident, indices, seed):
    batch = resident.take(indices)
    rows = PartitionSpec(*[None] * (indices.ndim - 1), "data")
    batch = jax.lax.with_sharding_constraint(batch, NamedSharding(mesh, rows))
    return step(state, batch) if seed is None else step(state, batch, seed)

  return jax.jit(
    call,
    donate_argnums=0,
    out_shardings=replicated,
  )


def compile_predict(predict: Callable) -> Callable:
  """Compiles an inference function; one trace per batch shape."""
  return jax.jit(predict)


def shapes(init: Callable[[], TrainState], mesh: Mesh) -> TrainState:
  """Shapes, types and (replicated) shardings of what `init` would return."""
  sharding = NamedSharding(mesh, PartitionSpec())
  return jax.tree.map(
    lambda leaf: jax.ShapeDtypeStruct(
      leaf.shape, leaf.dtype, sharding=sharding
    ),
    jax.eval_shape(init),
  )
