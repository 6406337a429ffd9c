"""The only file that says jit, mesh or sharding.

Data parallel over every device of every process: the batch is split, the state
a copy on each device or, on request, split as well. Under `jit` with named
shardings BatchNorm's statistics are those of the whole batch, so one device
and many compute the same step.
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from apppau_jax.batch import Batch
from apppau_jax.errors import ConfigError
from apppau_jax.training.state import Player, TrainState
from apppau_jax.training.step_terms import Metrics
from apppau_jax.training.trace_cache import keep

# (state, batch) or (state, batch, seed), see `steps.make_train_step`.
Step = Callable[..., tuple[TrainState, Metrics]]
# Below it, splitting an array costs more messages than it saves memory.
SMALL = 2**12  # scalars


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
  # Auto: the compiler completes the shardings that are named here.
  return Mesh(np.asarray(devices), ("data",), axis_types=(AxisType.Auto,))


def own_mesh() -> Mesh:
  """One device of this process, for what it does alone."""
  return make_mesh(batch_size=1, devices=jax.local_devices()[:1])


def _whole(mesh: Mesh) -> NamedSharding:
  return NamedSharding(mesh, PartitionSpec())


def _rows(mesh: Mesh, *, axis: int = 0) -> NamedSharding:
  return NamedSharding(mesh, PartitionSpec(*[None] * axis, "data"))


def _split(leaf, mesh: Mesh, *, small: int) -> NamedSharding:
  """Over the largest axis that the devices divide; whole if there is none."""
  axes = [i for i, n in enumerate(leaf.shape) if n and n % mesh.size == 0]
  if leaf.size < small or not axes:
    return _whole(mesh)
  return _rows(mesh, axis=max(axes, key=lambda i: leaf.shape[i]))


def replicate(tree, mesh: Mesh):
  """Copies a tree onto every device of the mesh.

  Every process passes the whole tree; nothing is sent between them.
  """
  sharding = _whole(mesh)
  if sharding.is_fully_addressable:
    return jax.device_put(tree, sharding)

  def copy(leaf):
    leaf = np.asarray(leaf)
    return jax.make_array_from_callback(
      leaf.shape, sharding, lambda index: leaf[index]
    )

  return jax.tree.map(copy, tree)


def make_init(
  init: Callable[..., TrainState],
  mesh: Mesh,
  *given,
  shard: bool = False,
  small: int = SMALL,
  name: Any = None,
) -> Callable[..., TrainState]:
  """Compiles `init`, which would be hundreds of small programs otherwise.

  It runs once: with little of LLVM's optimisation APPAU-Net's compiles in 12
  seconds of CPU time instead of 57, and runs for milliseconds either way.
  Level 0 would be 9 seconds, but gives wrong gradients (jaxlib 0.10.2).

  Args:
    init: makes a fresh state.
    mesh: the devices.
    *given: arguments like those that `init` will be called with.
    shard: split parameters, averages and the optimiser's moments over the
      devices, rather than keep a copy of them on each.
    small: arrays of fewer scalars are whole on every device all the same.
    name: under which to keep its trace between processes, see `kept.keep`.
  """
  kept: Any = _whole(mesh)
  if shard:  # only then do shapes matter, which take a trace to know
    kept = jax.tree.map(
      lambda leaf: _split(leaf, mesh, small=small),
      jax.eval_shape(init, *given),
    )
  return jax.jit(
    keep(init, name=name),
    out_shardings=kept,
    compiler_options={"xla_backend_optimization_level": 1},
  )


def compile_init(
  init: Callable[[], TrainState],
  mesh: Mesh,
  *,
  shard: bool = False,
  small: int = SMALL,
) -> TrainState:
  """Runs `init` compiled; arguments as of `make_init`."""
  return make_init(init, mesh, shard=shard, small=small)()


def compile_train_step(
  step: Step,
  mesh: Mesh,
  *,
  like: TrainState | None = None,
  steps_per_call: int = 1,
  name: Any = None,
) -> Callable[..., tuple[TrainState, Metrics]]:
  """Compiles `step` over the resident data set, or over a step's own batch.

  The gather of the examples runs on the device, inside the step; the state is
  donated; a second trace would mean a compilation in mid-run: an error.

  Args:
    step: the pure step.
    mesh: the devices.
    like: a state whose shardings the steps keep; None for whole copies.
    steps_per_call: above 1, a call makes that many steps (or fewer, where it
      would pass an evaluation: another length is another program) in a loop
      on the device. For accelerators: XLA:CPU runs convolutions inside a loop
      fifteen times slower.
    name: under which to keep its trace between processes, see `kept.keep`.

  Returns:
    `run(state, resident, indices)` with `indices` into `resident`: `[b]`, or
    `[m, b]` for a step of m minibatches; above one step a call with one more
    axis in front, of steps, and so have the metrics. With None for `indices`,
    and one step a call, `resident` is the very batch of the step. A `seed`
    given to it takes the place of the step's own: then one program serves
    every seed.
  """
  whole = _whole(mesh)
  kept = whole if like is None else jax.tree.map(lambda x: x.sharding, like)
  several = steps_per_call > 1
  lengths = set()

  def call(state, resident, indices, seed=None):
    length = len(indices) if several else 1
    if length in lengths:
      shapes = jax.tree.map(lambda x: (x.shape, str(x.dtype)), indices)
      raise RuntimeError(
        "the training step was traced twice: the shape or type of its state, "
        f"data or indices (now {shapes}) changed"
      )
    result = advance(state, resident, indices, seed)
    lengths.add(length)  # only now: what failed was not traced
    return result

  def scan_steps(state, resident, indices, seed):
    return jax.lax.scan(
      lambda state, rows: gather_and_step(state, resident, rows, seed),
      state,
      indices,
    )

  def gather_and_step(state, resident, indices, seed):
    batch = resident if indices is None else resident.take(indices)
    rows = _rows(mesh, axis=batch.label.ndim - 1)
    batch = jax.lax.with_sharding_constraint(batch, rows)
    given = () if seed is None else (seed,)
    return step(_gathered(state, whole), batch, *given)

  advance = keep(scan_steps if several else gather_and_step, name=name)
  return jax.jit(call, donate_argnums=0, out_shardings=(kept, whole))


def _gathered(state: TrainState, whole: NamedSharding) -> TrainState:
  """The parameters whole wherever they are used, whoever keeps their parts.

  Said here, for the compiler could as well split the network's channels.
  """

  def gather(player: Player) -> Player:
    params = jax.lax.with_sharding_constraint(player.params, whole)
    return dataclasses.replace(player, params=params)

  judge = state.discriminator
  return dataclasses.replace(
    state,
    segmentor=gather(state.segmentor),
    discriminator=None if judge is None else gather(judge),
  )


def own_rows(indices: np.ndarray, mesh: Mesh) -> np.ndarray:
  """The rows of a step, `[b]` or `[m, b]`, that this process's devices take."""
  sharding = _rows(mesh, axis=indices.ndim - 1)
  places = sharding.addressable_devices_indices_map(indices.shape).values()
  spans = {
    place[-1].indices(indices.shape[-1])[:2] for place in places if place
  }
  own = np.concatenate([np.arange(*span) for span in sorted(spans)])
  return indices[..., own]


def spread(batch: Batch, indices: np.ndarray, mesh: Mesh) -> Batch:
  """The batch of a step over all devices, of every process's own examples.

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
  """A schedule as one program, for whoever logs it; it is a dozen otherwise."""
  return jax.jit(rate)


def compile_predict(
  predict: Callable, mesh: Mesh | None = None, *, name: Any = None
) -> Callable:
  """Compiles an inference function; one trace per batch shape.

  Args:
    predict: maps variables and arrays of b rows each to arrays of b rows.
    mesh: splits the rows over these devices, where they divide them; every
      process passes all rows and gets all results. None leaves it to JAX.
    name: under which to keep its trace between processes, see `kept.keep`.
  """
  predict = keep(predict, name=name)
  if mesh is None:
    return jax.jit(predict)

  def split(variables, *inputs):
    if all(len(x) % mesh.size == 0 for x in inputs):
      inputs = jax.lax.with_sharding_constraint(inputs, _rows(mesh))
    return predict(variables, *inputs)

  return jax.jit(split, out_shardings=_whole(mesh))


def shapes(
  init: Callable[[], TrainState],
  mesh: Mesh,
  *,
  shard: bool = False,
  small: int = SMALL,
) -> TrainState:
  """Shapes, types and shardings of what `compile_init` would return."""

  def describe(leaf):
    kept = _split(leaf, mesh, small=small) if shard else _whole(mesh)
    return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=kept)

  return jax.tree.map(describe, jax.eval_shape(init))


def fetch(leaf) -> np.ndarray:
  """An array's whole value here, whatever devices or processes hold it."""
  here = not isinstance(leaf, jax.Array) or (
    leaf.is_fully_addressable or leaf.is_fully_replicated
  )
  return np.asarray(leaf if here else _gather(leaf.sharding.mesh)(leaf))


@functools.cache
def _gather(mesh: Mesh) -> Callable[[jax.Array], jax.Array]:
  return jax.jit(lambda x: x, out_shardings=_whole(mesh))
