"""From a trained run to masks and diagnoses."""

import functools
import json
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np
import optax

from apppau_jax.data import examples
from apppau_jax.errors import CheckpointError, ConfigError
from apppau_jax.evaluation import (
  class_metrics,
  classification,
  evaluate,
  figures,
  prediction,
)
from apppau_jax.training import checkpoints, loop, parallel
from apppau_jax.training import inference as inference_lib
from apppau_jax.training import state as state_lib
from launch.assemble import data, networks
from launch.assemble.networks import Config


def predict(config: Config, *, final: bool = False) -> evaluate.Predict:
  """S in inference mode, compiled; `final` adds the test-time augmentation."""
  return parallel.compile_predict(
    inference_lib.make_predict_step(
      networks.segmentor(config),
      prepare=data.normalize(config),
      views=_looks(config, final),
    )
  )


def _looks(config: Config, final: bool) -> Sequence[tuple[float, float]]:
  """The views of test-time augmentation, where it is on."""
  several = final and config.eval.test_time_augmentation
  return inference_lib.VIEWS if several else ()


def diagnose(
  config: Config, *, final: bool = False
) -> evaluate.Diagnose | None:
  """D in inference mode, as `predict`; None where S trained alone."""
  module = networks.discriminator(config)
  if module is None:
    return None
  return parallel.compile_predict(
    inference_lib.make_diagnose_step(
      module, prepare=data.normalize(config), views=_looks(config, final)
    )
  )


def options(config: Config) -> evaluate.Options:
  """How probabilities become masks."""
  return evaluate.Options(
    threshold=config.eval.threshold,
    largest_components=config.eval.largest_components,
    batch_size=config.eval.batch_size,
  )


def validation(config: Config, loaded: examples.Examples) -> loop.EvaluateFn:
  """Validation during training: lung Dice, D's AUROC and a few overlays."""
  infer, how = predict(config), options(config)
  judge = diagnose(config)
  truth = loaded.mask[..., 0].astype(bool)
  classes = np.unique(loaded.label[loaded.label >= 0])
  if config.train.select_by != "dice" and len(classes) < 2:
    raise ConfigError(
      f"config.train.select_by={config.train.select_by!r} needs validation "
      f"images of two classes at least; they have {len(classes)}. Select by "
      "dice."
    )

  def validate(state: state_lib.TrainState):
    variables = state.averages
    prob = evaluate.predict_probs(
      infer, variables["segmentor"], loaded.image, batch_size=how.batch_size
    )
    found = evaluate.binarize(prob[..., 0], options=how)
    values = evaluate.dice(found, truth)
    numbers = {"dice": float(values.mean()), "dice_worst": float(values.min())}
    if judge is not None:
      logits = evaluate.diagnose_logits(
        judge,
        variables["discriminator"],
        loaded.image,
        prob,
        batch_size=how.batch_size,
      )
      numbers |= _watched(logits, loaded.label, dice=numbers["dice"])
    pictures = [
      figures.overlay(image / 255.0, mask=mask, prediction=prediction)
      for image, mask, prediction in zip(loaded.image[:4, ..., 0], truth, found)
    ]
    return numbers, {"validation/overlay": np.concatenate(pictures, axis=1)}

  return validate


def _watched(
  logits: np.ndarray, label: np.ndarray, *, dice: float
) -> dict[str, float]:
  """What of the diagnosis is followed during training, where it is defined."""
  known = label >= 0
  if not known.any():
    return {}
  values = class_metrics.measure(
    np.ones((1, known.sum())),
    probs=classification.posterior(logits[known]),
    label=label[known],
  )
  watched = {k: float(values[k][0]) for k in ("balanced_accuracy", "auroc")}
  watched["dice_auroc"] = (dice + watched["auroc"]) / 2.0
  return {k: v for k, v in watched.items() if np.isfinite(v)}


def diagnosis(
  config: Config,
  variables: Mapping[str, state_lib.Variables],
  loaded: examples.Examples,
  prob: np.ndarray,
  *,
  temperature: float = 1.0,
) -> evaluate.Diagnosis | None:
  """What D says of some images, with S's masks and with the true ones.

  Args:
    config: the configuration.
    variables: weights by player.
    loaded: the images with their masks and classes.
    prob: `[n, h, w, 1]`, S's probabilities.
    temperature: of the class probabilities.

  Returns:
    None where S trained alone.
  """
  judge = diagnose(config, final=True)
  if judge is None:
    return None
  ask = functools.partial(
    evaluate.diagnose_logits,
    judge,
    variables["discriminator"],
    loaded.image,
    batch_size=config.eval.batch_size,
  )
  return evaluate.Diagnosis(
    logits=ask(prob),
    label=loaded.label,
    class_names=networks.class_names(config),
    temperature=temperature,
    oracle_logits=ask(loaded.mask),
  )


def fit_temperature(
  config: Config,
  variables: Mapping[str, state_lib.Variables],
  *,
  ids: Sequence[str],
) -> float:
  """The temperature under which the classes of `ids` are likeliest; or 1.

  Args:
    config: the configuration; without `eval.temperature_scaling` it is 1.
    variables: weights by player.
    ids: the validation images.
  """
  if not (config.eval.temperature_scaling and config.discriminator.enabled):
    return 1.0
  validation = data.load(config, ids)
  prob = evaluate.predict_probs(
    predict(config, final=True),
    variables["segmentor"],
    validation.image,
    batch_size=config.eval.batch_size,
  )
  asked = diagnosis(config, variables, validation, prob)
  assert asked is not None  # D is enabled
  return classification.fit_temperature(asked.logits, validation.label)


def for_pictures(
  config: Config, *, workdir: pathlib.Path, count: int
) -> tuple[prediction.Infer, tuple[str, ...]]:
  """A trained run's networks for pictures without a data set.

  Args:
    config: the configuration.
    workdir: the run's folder.
    count: pictures there will be; a batch is no larger, so that a single one
      does not cost as much as a full batch.

  Returns:
    uint8 `[m, r, r, 1]` to lung probabilities `[m, r, r]` and class
    probabilities `[m, n]`, and the classes' names; None and no names where S
    trained alone. The temperature is the one that the run's reports have.
  """
  variables, _ = trained(config, workdir=workdir)
  temperature = _reported_temperature(config, workdir)
  infer = predict(config, final=True)
  judge = diagnose(config, final=True)
  batch_size = min(config.eval.batch_size, count)

  def run(image: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
    prob = evaluate.predict_probs(
      infer, variables["segmentor"], image, batch_size=batch_size
    )
    if judge is None:
      return prob[..., 0], None
    logits = evaluate.diagnose_logits(
      judge, variables["discriminator"], image, prob, batch_size=batch_size
    )
    probs = classification.posterior(logits, temperature=temperature)
    return prob[..., 0], probs

  names = () if judge is None else networks.class_names(config)
  return run, names


def _reported_temperature(config: Config, workdir: pathlib.Path) -> float:
  """What was fitted when the run was measured; 1 without scaling."""
  if not config.eval.temperature_scaling:
    return 1.0
  path = workdir / "eval" / "validation" / "report.json"
  if not path.exists():
    raise CheckpointError(
      f"Class probabilities of {workdir} are to be scaled, and it has no "
      "validation report to take the temperature from: run `python -m "
      f"launch.evaluate --workdir={workdir} --split=validation` first."
    )
  report = json.loads(path.read_text())
  return report.get("classification", {}).get("temperature", 1.0)


def trained(
  config: Config, *, workdir: pathlib.Path
) -> tuple[Mapping[str, state_lib.Variables], int]:
  """The averaged weights that `eval.checkpoint` names, and their step.

  Returns:
    Weights by player, `segmentor` and, where there is one, `discriminator`.

  Raises:
    CheckpointError: nothing usable was saved there yet.
  """
  mesh = parallel.make_mesh(batch_size=1, devices=jax.devices()[:1])
  # Of the optimisers only the structure matters here, not their rates.
  rate = optax.constant_schedule(0.0)
  target = parallel.shapes(
    lambda: networks.init(
      config,
      networks.optimizer(config, rate, player="segmentor"),
      networks.optimizer(config, rate, player="discriminator"),
    ),
    mesh,
  )
  name = config.eval.checkpoint
  folder = workdir / "checkpoints" / name
  if not folder.is_dir():
    raise _untrained(workdir, name)
  saved = checkpoints.Store(folder, read_only=True)
  found: Any = saved.restore(target.averages if name == "best" else target)
  saved.close()
  if found is None:
    raise _untrained(workdir, name)
  tree, _, step = found
  return tree if name == "best" else tree.averages, step


def _untrained(workdir: pathlib.Path, name: str) -> CheckpointError:
  return CheckpointError(
    f"{workdir} holds no '{name}' checkpoint yet; train with "
    f"`python -m launch.train --config=... --workdir={workdir}` first."
  )
