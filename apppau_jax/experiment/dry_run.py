"""What a run would cost: its steps, and one of them timed."""

import contextlib
import itertools
import pathlib
import tempfile
import time

import jax

from apppau_jax.experiment import data
from apppau_jax.experiment.assemble import assemble, plan
from apppau_jax.experiment.networks import Config

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
      config.train.steps_per_call,
      config.data.resolution,
      config.data.bits,
      tuple(config.data.structures),
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
  with contextlib.closing(run.feed(0)) as feed:
    for examples, rows in itertools.islice(feed, _STEPS + 1):
      began = time.perf_counter()
      state, _ = run.train_step(state, examples, rows)
      jax.block_until_ready(state)
      took.append(time.perf_counter() - began)
  took = took[1:] or took  # a run of one call has the one that compiles
  return sorted(took)[len(took) // 2] / len(run.plan.call(0))
