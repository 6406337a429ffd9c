"""The training of several seeds of one recipe in one program."""

import contextlib
import pathlib
from collections.abc import Sequence

from apppau_jax.config import Config
from apppau_jax.errors import ConfigError
from apppau_jax.experiment import assemble, beginning, run_folder
from apppau_jax.training import compile_notice, together

# Keys in which the runs may differ: they choose examples and randomness.
_OWN = ("seed", "data.label_seed", "data.split")


def train(configs: Sequence[Config], folders: Sequence[pathlib.Path]) -> None:
  """Trains the runs to their end; `fit` then finds them trained and evaluates.

  Args:
    configs: the configurations, alike but for their seeds and splits.
    folders: the run folders.

  Raises:
    ConfigError: the configurations differ otherwise, or some runs are further
      than others. Each can still be trained alone by `fit`.
    NumericError: a loss or gradient of a run is not finite.
    Interrupted: a signal stopped the runs; all are saved.
  """
  with contextlib.ExitStack() as stack:
    for folder in folders:
      stack.enter_context(run_folder.locked(folder))
    begun = [beginning.begin(*pair) for pair in zip(configs, folders)]
    _check_alike([one.config for one in begun])
    for one in begun:
      stack.enter_context(one.recorded(last=False))
      stack.enter_context(one.record.session())
    runs, states = zip(*(one.assemble() for one in begun))
    for run in runs:
      stack.callback(run.latest.close)
      stack.callback(run.best.close)
    step = assemble.step_together([b.config for b in begun], runs[0].plan)
    compile_notice.announce(minutes=3 * len(runs))
    try:
      together.run(runs, states, step=step)
    except ValueError as error:
      raise ConfigError(f"{error}; train each of them alone") from error


def _check_alike(configs: Sequence[Config]) -> None:
  first, *others = (
    {key: value for key, value in config.flat().items() if key not in _OWN}
    for config in configs
  )
  for other in others:
    differing = [key for key in first if other[key] != first[key]]
    if differing:
      raise ConfigError(
        f"Runs train together only if they differ in nothing but "
        f"{', '.join(_OWN)}; these also differ in {', '.join(differing)}."
      )
