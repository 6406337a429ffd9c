"""Trains a segmentor, then evaluates it: raw shards in, report.html out.

  python -m launch.train --config=configs/phantom.py --workdir=runs/phantom

Every configuration key is a flag, for instance --config.train.epochs=20;
`python -m apppau_jax.config` lists them. The same command resumes a run that
was stopped or killed, and its parameters are then bit for bit those of an
uninterrupted run. --helpfull lists the flags of several processes
(--distributed).
"""

from absl import flags
from ml_collections import config_flags

from apppau_jax import progress, runtime
from apppau_jax.errors import ConfigError
from launch import cli, cluster

_CONFIG = config_flags.DEFINE_config_file(
  "config", None, "configs/NAME.py, or configs/NAME.py:quick"
)
_WORKDIR = flags.DEFINE_string("workdir", None, "Folder of this run.")


def main() -> None:
  """Prepare, train and evaluate."""
  if _CONFIG.value is None or not _WORKDIR.value:
    raise ConfigError(
      "Both --config and --workdir are needed, for instance --config="
      "configs/phantom.py --workdir=runs/phantom."
    )
  config = cli.configuration(_CONFIG)  # before JAX starts a backend
  runtime.set_up()
  runtime.compute_in_turn()
  with cluster.joined():
    from apppau_jax.experiment import evaluate_run, fitting
    from apppau_jax.training import distributed

    run = fitting.fit(config, workdir=_WORKDIR.value)
    if distributed.is_first():
      for part in run.evaluated_parts:
        progress.say(evaluate_run.summary(run.report(part)))
      progress.say(f"report: {run.workdir / 'report.html'}")


if __name__ == "__main__":
  cli.run(main)
