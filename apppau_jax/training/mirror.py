"""A copy of the scalars in an experiment tracker, which may fail.

The run folder is the record. A tracker that is not installed, not reachable or
broken costs one warning and ends its copy; the training goes on.
"""

import contextlib
import logging
import pathlib
from collections.abc import Callable, Mapping
from typing import Any

_LOG = logging.getLogger("apppau_jax")


class _Mlflow:
  """MLflow's fluent functions; `MLFLOW_TRACKING_URI` says where to."""

  def __init__(self, name: str, config: Mapping[str, Any]):
    import mlflow  # pyrefly: ignore[missing-import]

    self._mlflow = mlflow
    mlflow.start_run(run_name=name)
    mlflow.log_params(dict(config))

  def log(self, values: Mapping[str, float], *, step: int) -> None:
    self._mlflow.log_metrics(dict(values), step=step)

  def close(self) -> None:
    self._mlflow.end_run()


class _Trackio:
  """Trackio, whose files lie in the user's cache folder."""

  def __init__(self, name: str, config: Mapping[str, Any]):
    import trackio  # pyrefly: ignore[missing-import]

    self._trackio = trackio
    trackio.init(project="apppau_jax", name=name, config=dict(config))

  def log(self, values: Mapping[str, float], *, step: int) -> None:
    self._trackio.log(dict(values), step=step)

  def close(self) -> None:
    self._trackio.finish()


NAMES: dict[str, Callable[[str, Mapping[str, Any]], Any]] = {
  "mlflow": _Mlflow,
  "trackio": _Trackio,
}


class Mirror:
  """Passes scalars on until the first failure.

  Args:
    kind: a key of `NAMES`, or "none".
    workdir: whose name the run gets.
    config: parameters of the run, by name with dots.
  """

  def __init__(
    self, kind: str, *, workdir: pathlib.Path, config: Mapping[str, Any]
  ):
    self._kind, self._tracker = kind, None
    if kind != "none":
      with self._tolerate():
        self._tracker = NAMES[kind](workdir.name, config)

  @contextlib.contextmanager
  def _tolerate(self):
    try:
      yield
    except Exception as error:  # of another package, whatever it raises
      self._tracker = None
      first, *_ = (str(error).strip() or repr(error)).splitlines()
      _LOG.warning(
        "the copy for %s ends here, and the run goes on: %s", self._kind, first
      )

  def scalars(self, kind: str, *, step: int, values: Mapping) -> None:
    """Pass values on as `kind/name`."""
    if self._tracker is not None:
      with self._tolerate():
        named = {f"{kind}/{name}": float(v) for name, v in values.items()}
        self._tracker.log(named, step=step)

  def close(self) -> None:
    """End the tracker's run."""
    if self._tracker is not None:
      with self._tolerate():
        self._tracker.close()
