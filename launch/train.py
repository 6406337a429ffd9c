"""Trains a segmentor, then evaluates it: raw shards in, report.html out.

  python -m launch.train --config=configs/phantom.py --workdir=runs/phantom

Every knob of configs/base.py is a flag: --config.train.epochs=20. The same
command goes on with a run that was stopped or killed, and ends in the
parameters that the uninterrupted run would have had. --helpfull lists what
several processes need (--distributed).
"""

import pathlib
import sys

from absl import flags
from ml_collections import config_flags

from apppau_jax import runtime
from apppau_jax.errors import ConfigError
from apppau_jax.experiment import config_warnings, schema
from launch import cli, cluster

_CONFIG = config_flags.DEFINE_config_file(
  "config", None, "configs/NAME.py, or configs/NAME.py:quick"
)
_WORKDIR = flags.DEFINE_string("workdir", None, "Folder of this run.")


def main() -> None:
  """Prepares, trains, evaluates."""
  if _CONFIG.value is None or not _WORKDIR.value:
    raise ConfigError(
      "Both --config and --workdir are needed, for instance --config="
      "configs/phantom.py --workdir=runs/phantom."
    )
  tree = _CONFIG.value.to_dict()
  schema.check(tree)  # before JAX starts
  given = config_flags.get_override_values(flags.FLAGS["config"])
  for line in config_warnings.unused(schema.flatten(tree), given=given):
    print(f"note: {line}", file=sys.stderr)
  runtime.set_up()
  with cluster.joined():
    from apppau_jax.experiment import fit

    fit.run(_CONFIG.value, pathlib.Path(_WORKDIR.value).expanduser())


if __name__ == "__main__":
  cli.run(main)
