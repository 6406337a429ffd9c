"""The JAX side of a comparison: the step and predictor of the commands."""

import contextlib
import time
from typing import Any

import numpy as np
from scipy import special

from apppau_jax import runtime
from benchmarks.spec import Spec, Turn
from configs import base, paper_table1, paper_table2

IMAGES = 64  # in the data set in memory


def config(spec: Spec) -> Any:
  """Return the paper's protocol of a network, with the augmentation."""
  two = spec.net == "appau"
  made = paper_table2.get_config() if two else paper_table1.get_config()
  made.loss.kl_channels, made.loss.kl_eps = "both", 1e-3
  if not two:
    made.model.preset = spec.net
  made.model.base_width = made.discriminator.base_width = spec.width
  made.model.dtype = spec.dtype
  made.data.resolution = spec.resolution
  made.train.batch_size = made.eval.batch_size = spec.batch
  made.train.unlabelled_in_batch = spec.batch // 2 if two else 0
  if spec.augment:
    made.augment.update(base.lung_recipe().augment)
  return made


def prepare(spec: Spec) -> tuple[Turn, dict[str, Any]]:
  """Compile; return a turn and the facts about it."""
  with contextlib.redirect_stdout(None):
    runtime.set_up()
    if spec.work == "step":
      runtime.compute_in_turn()  # as launch.train does
  from apppau_jax.experiment import cost

  rng = np.random.default_rng(0)
  shape = (IMAGES, spec.resolution, spec.resolution, 1)
  image = rng.integers(0, 256, shape).astype(np.uint8)
  make = _step if spec.work == "step" else _predict
  turn, facts = make(spec, image)
  rate = cost.matrix_rate(spec.dtype)
  return turn, {"matrix_rate": rate, **facts}


def resident(image: np.ndarray, *, labelled: int) -> Any:
  """Return a data set of uint8 images `[n, h, w, 1]`, the first labelled."""
  import jax.numpy as jnp

  from apppau_jax.batch import Batch

  is_labelled = jnp.arange(len(image)) < labelled
  return Batch(
    image=jnp.asarray(image),
    mask=jnp.asarray((image > 127).astype(np.uint8)),
    label=jnp.arange(len(image), dtype=jnp.int32) % 2,
    has_mask=is_labelled,
    has_label=is_labelled,
  )


def _step(spec: Spec, image: np.ndarray) -> tuple[Turn, dict[str, Any]]:
  import jax

  from apppau_jax.experiment import cost
  from apppau_jax.training import parallel

  made = config(spec)
  step, init = cost.step_and_init(made, images=IMAGES)
  mesh = parallel.make_mesh(batch_size=spec.batch, devices=jax.devices()[:1])
  labelled = IMAGES // 2 if spec.net == "appau" else IMAGES
  data = parallel.replicate(resident(image, labelled=labelled), mesh)
  state = parallel.compile_init(init, mesh)
  rows = np.arange(spec.batch, dtype=np.int32)
  if spec.net == "appau":
    half = spec.batch // 2
    one = np.concatenate([np.arange(half), IMAGES // 2 + np.arange(half)])
    rows = np.stack([one, one[::-1]]).astype(np.int32)

  if spec.per_call > 1:
    rows = np.stack([rows] * spec.per_call)
  began = time.perf_counter()
  given: tuple[Any, ...] = ()
  if spec.seeds > 1:
    every = range(spec.seeds)
    state = tuple(jax.tree.map(jax.numpy.copy, state) for _ in every)
    data, rows = (data,) * spec.seeds, (rows,) * spec.seeds
    given = (np.arange(spec.seeds, dtype=np.uint32),)
  jitted: Any = parallel.compile_train_step(
    step, mesh, steps_per_call=spec.per_call, members=spec.seeds
  )
  run = jitted.lower(state, data, rows, *given).compile()
  took = time.perf_counter() - began

  def turn(count: int) -> None:
    nonlocal state
    before = None
    for _ in range(count // spec.per_call):
      state, terms = run(state, data, rows, *given)
      jax.block_until_ready(before)  # read one step late, as in training
      before = terms
    jax.block_until_ready((state, before))

  return turn, {"compile_s": took, "flops": cost.flops(made, images=IMAGES)}


def _predict(spec: Spec, image: np.ndarray) -> tuple[Turn, dict[str, Any]]:
  import jax
  import jax.numpy as jnp

  from apppau_jax.experiment import loading, networks

  made = config(spec)
  net = networks.segmentor(made)
  variables = jax.jit(lambda x: net.init(jax.random.key(0), x, train=False))(
    jnp.zeros((1, spec.resolution, spec.resolution, 1))
  )
  member = loading.member(made, {"segmentor": variables}, final=False)
  model = loading.model(made, [member])
  batch = np.resize(image, (spec.batch, *image.shape[1:]))

  def turn(count: int) -> None:
    for _ in range(count):
      special.expit(np.asarray(model.segment(batch).logits))

  return turn, {}


def device_memory() -> dict[str, float]:
  """Return the peak bytes on an accelerator, if the backend counts them."""
  import jax

  statistics = jax.devices()[0].memory_stats() or {}
  peak = statistics.get("peak_bytes_in_use")
  return {} if peak is None else {"device_peak_mib": peak / 2**20}
