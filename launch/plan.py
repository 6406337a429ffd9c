"""Prints what a configuration would cost, before the public data exist.

  python -m launch.plan --config=configs/montgomery.py --time

The training step is compiled from shapes. Parameters, operations, bytes, peak
memory and the shortest possible time of an epoch on this machine are printed:
operations divided by the measured rate of a large matrix product, which no step
reaches (a U-Net reaches half of it on a CPU). With --time a few steps are run
on black images instead.
"""

from absl import flags
from ml_collections import config_flags

from apppau_jax import progress, runtime
from apppau_jax.errors import ConfigError
from launch import cli

_CONFIG = config_flags.DEFINE_config_file(
  "config", None, "configs/NAME.py, or configs/NAME.py:quick"
)
_IMAGES = flags.DEFINE_integer(
  "images",
  None,
  "Training images, labelled or not; by default those of the split of the "
  "complete public set, or of the prepared data of any other set.",
  lower_bound=1,
)
_TIME = flags.DEFINE_bool("time", False, "Also run and time a few steps.")


def main() -> None:
  """Compiles the step and prints its cost."""
  if _CONFIG.value is None:
    raise ConfigError(
      "--config is needed, for instance --config=configs/montgomery.py."
    )
  config = cli.configuration(_CONFIG)
  runtime.set_up()
  import jax

  from apppau_jax.experiment import cost as cost_lib
  from apppau_jax.experiment import data, networks

  images = _IMAGES.value
  if images is None:
    config, images = data.planned(config)
  cost = cost_lib.cost(config, images=images, timed=_TIME.value)
  rate = cost_lib.matrix_rate(config.model.dtype)
  rows = {
    "device": f"one {jax.devices()[0].device_kind}",
    "training images": f"{images}",
    **{f"parameters of {k}": f"{n:,}" for k, n in cost.parameters.items()},
    "operations a step": f"{cost.flops / 1e9:.1f} GFLOP",
    "bytes moved a step": f"{cost.bytes / 2**30:.2f} GiB (XLA's estimate)",
    "peak memory": f"{cost.memory / 2**30:.2f} GiB",
    "convolutions by": networks.convolutions_by(config),
    "compiled in": f"{cost.compile_seconds:.1f} s",
    "matrix product": f"{rate / 1e9:.0f} GFLOP/s, {config.model.dtype}",
    "steps": f"{cost.plan.steps} ({cost.plan.steps_per_epoch} an epoch)",
  }
  floor = cost.flops / rate
  rows["a step at least"] = f"{floor:.4g} s"
  step, word = floor, "at least"
  if cost.step_seconds is not None:
    step, word = cost.step_seconds, "about"
    rows["a step, timed"] = f"{step:.4g} s, {floor / step:.0%} of the rate"
  rows["an epoch"] = f"{word} {step * cost.plan.steps_per_epoch:.3g} s"
  minutes = step * cost.plan.steps / 60
  rows["the run"] = f"{word} {minutes:.3g} min, without evaluations"
  for name, value in rows.items():
    progress.say(f"{name:20} {value}")


if __name__ == "__main__":
  cli.run(main)
