"""The cost of a step: no data, no parameters, against a count by hand."""

import os
import pathlib
import subprocess
import sys

import jax
import numpy as np
import pytest

from apppau_jax.batch import Batch
from apppau_jax.errors import ConfigError
from apppau_jax.experiment import cost
from configs import appau_montgomery, folder, jsrt_structures, paper_table1

BATCH, SIDE, WIDTH = 4, 32, 8


def _convolutions():
  """2 k^2 c_in c_out per output pixel of each convolution of the U-Net."""
  widths = [WIDTH * 2**level for level in range(5)]
  for level, width in enumerate(widths):
    pixels = (SIDE >> level) ** 2
    entering = widths[level - 1] if level else 1
    yield pixels * 9 * entering * width
    yield pixels * 9 * width * width
    if level < 4:  # the decoder: up, the concatenation, the second
      yield pixels // 4 * 2 * width * 4 * width
      yield pixels * 9 * 2 * width * width
      yield pixels * 9 * width * width
  yield SIDE**2 * WIDTH  # the head


@pytest.fixture
def config():
  config = paper_table1.get_config("model=unet")
  config.data.data_dir = "/nowhere"
  config.data.resolution = SIDE
  config.model.base_width = WIDTH
  config.train.batch_size = BATCH
  return config


def test_operations_and_lengths_need_neither_data_nor_compiling(config):
  found = cost.flops(config, images=97)
  forward = 2.0 * BATCH * sum(_convolutions())
  # Backward costs a forward twice, less what the image's gradient would be.
  floor = 3 * forward - 2.0 * BATCH * SIDE**2 * 9 * WIDTH
  assert 0.85 * floor < found < 1.3 * floor
  plan = cost.plan(config, images=97)
  assert (plan.steps_per_epoch, plan.steps) == (25, 300 * 25)


def test_several_structures_can_be_planned():
  config = jsrt_structures.get_config("quick")
  config.data.resolution, config.model.base_width = SIDE, 1
  config.model.preset = "unet"
  assert cost.flops(config, images=20) > 0


@pytest.mark.parametrize(
  ("changed", "reason"),
  [
    ({"train.unlabelled_in_batch": 8}, "every batch|nothing learns"),
    ({"discriminator.enabled": True}, "folder:clinic"),
  ],
)
def test_what_no_run_would_accept_is_refused(changed, reason):
  config = folder.get_config("name=clinic")
  for key, value in changed.items():
    section, last = key.split(".")
    setattr(getattr(config, section), last, value)
  with pytest.raises(ConfigError, match=reason):
    cost.cost(config, images=20)


@pytest.mark.slow
def test_a_compiled_step_has_memory_and_seconds(config):
  found = cost.cost(config, images=97, timed=True)
  # pool, second convolutions: 485,817 by the golden count at width 8.
  count = found.parameters["S"]
  assert list(found.parameters) == ["S"]
  assert 480_000 < count < 492_000
  state = 4 * 4 * count  # parameters, two moments, averages
  images = 2 * 97 * SIDE**2
  assert found.memory > state + images
  assert found.step_seconds > 0


@pytest.mark.slow
def test_the_command_prints_a_table():
  done = subprocess.run(
    [
      *(sys.executable, "-m", "launch.plan", "--time"),
      "--config=configs/appau_phantom.py:quick",
    ],
    cwd=pathlib.Path(__file__).parents[2],
    env={**os.environ, "JAX_NUM_CPU_DEVICES": "1"},
    capture_output=True,
    text=True,
    check=False,
  )
  assert done.returncode == 0, done.stderr
  for word in ("parameters of D", "GFLOP", "peak memory", "a step, timed"):
    assert word in done.stdout


@pytest.mark.slow
def test_both_players_trace():
  """Every term of the recipe: shapes only, nothing is compiled."""
  config = appau_montgomery.get_config()
  config.data.resolution = 32
  config.model.base_width = config.discriminator.base_width = 2
  step, init = cost.step_and_init(config, images=96)
  state = jax.eval_shape(init)
  shape = (2, config.train.batch_size)
  picture = jax.ShapeDtypeStruct((*shape, 32, 32, 1), np.uint8)
  flag = jax.ShapeDtypeStruct(shape, bool)
  batch = Batch(
    image=picture,
    mask=picture,
    label=jax.ShapeDtypeStruct(shape, np.int32),
    has_mask=flag,
    has_label=flag,
  )
  after, metrics = jax.eval_shape(step, state, batch)
  assert jax.tree.structure(after) == jax.tree.structure(state)
  assert {"consistency", "adversarial", "discriminator_class"} <= set(metrics)
