"""Compilation and placement on devices; the only file with jit and meshes.

Data parallel over every device of every process: the batch is split, every
device holds a copy of the state. Under `jit` with named shardings the
statistics of BatchNorm are those of the whole batch, so that one device and
many compute the same step.
"""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from apppau_jax.batch import Batch
from apppau_jax.training import state as state_lib
from apppau_jax.training.state import TrainState
from apppau_jax.training.step_terms import Metrics

# Called with (state, batch) or (state, batch, seed), see `steps.TrainStep`.
Step = Callable[..., tuple[TrainState, Metrics]]


def make_mesh(*, batch_size: int, devices=None) -> Mesh:
  """Return a one-dimensional mesh over all devices, or those given.

  Raises:
    ValueError: `batch_size` cannot be split evenly over the devices.
  """
  devices = jax.devices() if devices is None else devices
  if batch_size % len(devices):
    raise ValueError(
      f"train.batch_size={batch_size} cannot be split over {len(devices)} "
      f"devices; make it a multiple of {len(devices)}."
    )
  # Auto: the compiler completes the shardings that are named here.
  return Mesh(np.asarray(devices), ("data",), axis_types=(AxisType.Auto,))


def own_mesh() -> Mesh:
  """Return a mesh of one device of this process."""
  return make_mesh(batch_size=1, devices=jax.local_devices()[:1])


def _replicated(mesh: Mesh) -> NamedSharding:
  return NamedSharding(mesh, PartitionSpec())


def _rows(mesh: Mesh, *, axis: int = 0) -> NamedSharding:
  return NamedSharding(mesh, PartitionSpec(*[None] * axis, "data"))


def replicate(tree, mesh: Mesh):
  """Copy a tree onto every device of the mesh.

  Every process passes the whole tree; nothing is sent between them.
  """
  sharding = _replicated(mesh)
  if sharding.is_fully_addressable:
    return jax.device_put(tree, sharding)

  def copy(leaf):
    leaf = np.asarray(leaf)
    return jax.make_array_from_callback(
      leaf.shape, sharding, lambda index: leaf[index]
    )

  return jax.tree.map(copy, tree)


def compile_init(
  init: Callable[..., TrainState], mesh: Mesh, *args: Any
) -> TrainState:
  """Run `init(*args)` compiled; it is hundreds of small programs otherwise.

  It runs once: with little of LLVM's optimisation APPAU-Net's compiles in 12
  seconds of CPU time instead of 57, and runs for milliseconds either way.
  Level 0 would be 9 seconds, but gives wrong gradients (jaxlib 0.10.2).
  """
  return jax.jit(
    init,
    out_shardings=_replicated(mesh),
    compiler_options={"xla_backend_optimization_level": 1},
  )(*args)


def shapes(
  init: Callable[..., TrainState], mesh: Mesh, *args: Any
) -> TrainState:
  """Return shapes, types and shardings of the result of `compile_init`."""
  return jax.tree.map(
    lambda leaf: jax.ShapeDtypeStruct(
      leaf.shape, leaf.dtype, sharding=_replicated(mesh)
    ),
    jax.eval_shape(init, *args),
  )


def compile_train_step(
  step: Step, mesh: Mesh, *, steps_per_call: int = 1, members: int = 1
) -> Callable[..., tuple[TrainState, Metrics]]:
  """Compile `step` over the resident data set, or over the batch of a step.

  The gather of the examples runs on the device, inside the step. The state is
  donated. A second trace would mean a compilation in mid-run: it is an error.

  Args:
    step: the pure step.
    mesh: the devices.
    steps_per_call: above 1, a call makes that many steps (or fewer, where it
      would pass an evaluation: another length is another program) in a loop
      on the device. For accelerators: XLA:CPU runs convolutions inside a loop
      fifteen times slower.
    members: above 1, a step of each of that many runs, side by side in one
      program. They differ in state, examples and seed.

  Returns:
    `run(state, resident, indices)` with `indices` into `resident`: `[b]`, or
    `[m, b]` for a step of m minibatches; above one step a call with one more
    axis in front, of steps, and so have the metrics. With None for `indices`,
    and one step a call, `resident` is the batch of the step itself. A `seed`
    given to it takes the place of the step's own: then one program serves
    every seed. With several members all arguments but `seed` are tuples of
    those of each, `seed` has an axis of members, and new states and metrics
    are tuples.
  """
  several = steps_per_call > 1
  lengths = set()

  def call(state, resident, indices, seed=None):
    length = len(jax.tree.leaves(indices)[0]) if several else 1
    if length in lengths:
      shapes = jax.tree.map(lambda x: (x.shape, str(x.dtype)), indices)
      raise RuntimeError(
        "the training step was traced twice: the shape or type of its state, "
        f"data or indices (now {shapes}) changed"
      )
    result = (scan_steps if several else all_members)(
      state, resident, indices, seed
    )
    lengths.add(length)  # only now: a failed trace does not count
    return result

  def scan_steps(state, resident, indices, seed):
    state, metrics = jax.lax.scan(
      lambda state, rows: all_members(state, resident, rows, seed),
      state_lib.pack(state),
      indices,
    )
    return state_lib.unpack(state), metrics

  def all_members(states, residents, indices, seeds) -> Any:
    if members == 1:
      return gather_and_step(states, residents, indices, seeds)
    # Not by vmap, which would make grouped convolutions of them.
    each = zip(states, residents, indices, seeds, strict=True)
    return tuple(zip(*(gather_and_step(*one) for one in each)))

  def gather_and_step(state, resident, indices, seed):
    batch = resident if indices is None else resident.take(indices)
    rows = _rows(mesh, axis=batch.has_label.ndim - 1)
    batch = jax.lax.with_sharding_constraint(batch, rows)
    return step(state, batch, *(() if seed is None else (seed,)))

  return jax.jit(call, donate_argnums=0, out_shardings=_replicated(mesh))


def own_rows(indices: np.ndarray, mesh: Mesh) -> np.ndarray:
  """Return the rows of a step, `[b]` or `[m, b]`, that this process reads."""
  sharding = _rows(mesh, axis=indices.ndim - 1)
  places = sharding.addressable_devices_indices_map(indices.shape).values()
  spans = {
    place[-1].indices(indices.shape[-1])[:2] for place in places if place
  }
  own = np.concatenate([np.arange(*span) for span in sorted(spans)])
  return indices[..., own]


def spread(batch: Batch, indices: np.ndarray, mesh: Mesh) -> Batch:
  """Assemble the batch of a step from every process's own examples.

  Args:
    batch: the examples at `own_rows(indices, mesh)`, in that order.
    indices: of the step, `[b]` or `[m, b]`.
    mesh: the devices.
  """
  sharding = _rows(mesh, axis=indices.ndim - 1)
  shape = own_rows(indices, mesh).shape

  def place(leaf: np.ndarray) -> jax.Array:
    return jax.make_array_from_process_local_data(
      sharding,
      leaf.reshape(*shape, *leaf.shape[1:]),
      (*indices.shape, *leaf.shape[1:]),
    )

  return jax.tree.map(place, batch)


def compile_rate(rate: Callable[[int], Any]) -> Callable[[int], Any]:
  """Compile a schedule, which is a dozen small programs otherwise."""
  return jax.jit(rate)


def compile_predict(predict: Callable, mesh: Mesh | None = None) -> Callable:
  """Compile an inference function; one trace per batch shape.

  Args:
    predict: maps variables and arrays of b rows each to arrays of b rows.
    mesh: splits the rows over these devices, where they divide them; every
      process passes all rows and gets all results. None leaves it to JAX.
  """
  if mesh is None:
    return jax.jit(predict)

  def split(variables, *inputs):
    if all(len(x) % mesh.size == 0 for x in inputs):
      inputs = jax.lax.with_sharding_constraint(inputs, _rows(mesh))
    return predict(variables, *inputs)

  return jax.jit(split, out_shardings=_replicated(mesh))
