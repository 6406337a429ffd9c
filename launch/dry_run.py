"""What a run would cost: its steps, and one of them timed."""

import pathlib
import tempfile
import time

import jax
import numpy as np

from launch.assemble import data
from launch.assemble.networks import Config
from launch.assemble.run import assemble, plan

_STEPS = 3


def cost(config: Config, *, known: dict[str, float]) -> tuple[int, float]:
  """Steps of a run and seconds a step.

  Args:
    config: the configuration.
    known: seconds by kind of step; looked up, and added to.
  """
  known_data = data.catalogue(config)
  config = data.settled(config, known_data)
  chosen = data.parts(config, known_data)
  kind = str(
    (
      config.model.to_dict(),
      config.loss.name,
      config.discriminator.to_dict(),
      config.adversarial.form,
      config.consistency.name,
      config.train.batch_size,
      config.train.unlabelled_in_batch,
      config.train.accumulate,
      config.train.steps_per_call,
      config.data.resolution,
    )
  )
  if kind not in known:
    with tempfile.TemporaryDirectory() as folder:
      parts = assemble(config, chosen, workdir=pathlib.Path(folder), meta={})
      known[kind] = _time(*parts)
      parts[0].latest.close()
      parts[0].best.close()
  return plan(config, chosen).steps, known[kind]


def _time(run, state) -> float:
  """Median seconds of a few steps after the one that compiles."""
  took = []
  rows = run.order(0)
  several = run.plan.steps_per_call
  if several > 1:
    rows = np.stack([rows] * several)
  for _ in range(_STEPS + 1):
    began = time.perf_counter()
    state, _ = run.train_step(state, run.resident, rows)
    jax.block_until_ready(state)
    took.append(time.perf_counter() - began)
  return sorted(took[1:])[_STEPS // 2] / several
