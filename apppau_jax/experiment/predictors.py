"""From a trained run to masks and diagnoses."""

from collections.abc import Mapping, Sequence

import numpy as np

from apppau_jax.datasets import examples
from apppau_jax.errors import ConfigError
from apppau_jax.experiment import data, networks
from apppau_jax.experiment.networks import Config
from apppau_jax.imaging import grey_levels
from apppau_jax.inference import batched_inference, overlay
from apppau_jax.inference import steps as inference_lib
from apppau_jax.metrics import classes, classification
from apppau_jax.reports import evaluate
from apppau_jax.training import loop, parallel
from apppau_jax.training import state as state_lib

_SHOWN = 4  # validation images in the overlay of the board


def predict(
  config: Config, *, final: bool = False, mesh: parallel.Mesh | None = None
) -> batched_inference.Predict:
  """S in inference mode, compiled.

  Args:
    config: the configuration.
    final: with the test-time augmentation, which is S's.
    mesh: see `parallel.compile_predict`.
  """
  views = _views(config, final)
  return parallel.compile_predict(
    inference_lib.make_predict_step(
      networks.segmentor(config), prepare=data.normalize(config), views=views
    ),
    mesh,
  )


def _views(config: Config, final: bool) -> tuple[tuple[float, float], ...]:
  """The views of test-time augmentation, where it is on."""
  several = final and config.eval.test_time_augmentation
  return inference_lib.VIEWS if several else ()


def diagnose(
  config: Config, *, mesh: parallel.Mesh | None = None
) -> batched_inference.Diagnose | None:
  """D in inference mode, as `predict`; None where it is taught no class."""
  if not networks.learns_classes(config):
    return None
  module = networks.discriminator(config)
  if module is None:
    return None
  return parallel.compile_predict(
    inference_lib.make_diagnose_step(module, prepare=data.normalize(config)),
    mesh,
  )


def players(
  config: Config, *, final: bool = False, mesh: parallel.Mesh | None = None
) -> batched_inference.Players:
  """Both networks in inference mode, compiled; arguments as in `predict`."""
  return batched_inference.Players(
    predict=predict(config, final=final, mesh=mesh),
    diagnose=diagnose(config, mesh=mesh),
  )


def options(config: Config) -> batched_inference.Options:
  """How probabilities become masks."""
  return batched_inference.Options(
    threshold=config.eval.threshold,
    largest_components=config.eval.largest_components,
    batch_size=config.eval.batch_size,
  )


def validation(
  config: Config, source: examples.Source, mesh: parallel.Mesh
) -> loop.EvaluateFn:
  """Validation during training: Dice, D's AUROC and a few overlays.

  With structures `dice` is the mean over them, and each has its own besides.
  """
  both, how = players(config, mesh=mesh), options(config)
  names = tuple(config.data.structures)
  if config.train.select_by != "dice":
    _check_classes(config, source)

  def validate(state: state_lib.TrainState):
    dices, logits, pictures = [], [], []
    for seen in batched_inference.look(
      both, state.averages, source, options=how
    ):
      dices.append(batched_inference.dice(seen.found, seen.mask))
      logits.append(seen.logits)
      for i in range(min(len(seen.image), _SHOWN - len(pictures))):
        pictures.append(
          overlay.draw(
            grey_levels.unit(seen.image[i, ..., 0]),
            mask=seen.mask[i],
            prediction=seen.found[i],
          )
        )
    each = np.concatenate(dices)  # [n, k]
    values = each.mean(axis=1) if names else each[:, 0]
    numbers = {"dice": float(values.mean()), "dice_worst": float(values.min())}
    numbers |= {
      f"dice_{n}": float(each[:, k].mean()) for k, n in enumerate(names)
    }
    if both.diagnose is not None:
      numbers |= _watched(
        np.concatenate(logits), source.label, dice=numbers["dice"]
      )
    return numbers, {"validation/overlay": np.concatenate(pictures, axis=1)}

  return validate


def _check_classes(config: Config, source: examples.Source) -> None:
  """AUROC is the mean over the classes, each against the others."""
  names = networks.class_names(config)
  absent = [n for i, n in enumerate(names) if not (source.label == i).any()]
  if absent or len(names) < 2:
    raise ConfigError(
      f"config.train.select_by={config.train.select_by!r} needs validation "
      f"images of every class, of two at least; none is of "
      f"{', '.join(absent) or 'a second one'}. Select by dice."
    )


def _watched(
  logits: np.ndarray, label: np.ndarray, *, dice: float
) -> dict[str, float]:
  """What of the diagnosis is followed during training, where it is defined."""
  known = label >= 0
  if not known.any():
    return {}
  values = classes.measure(
    np.ones((1, known.sum())),
    probs=classification.posterior(logits[known]),
    label=label[known],
  )
  watched = {k: float(values[k][0]) for k in ("balanced_accuracy", "auroc")}
  watched["dice_auroc"] = (dice + watched["auroc"]) / 2.0
  return {k: v for k, v in watched.items() if np.isfinite(v)}


def diagnosis(
  config: Config,
  scored: evaluate.Scored,
  *,
  label: np.ndarray,
  temperature: float = 1.0,
) -> evaluate.Diagnosis | None:
  """What D said of some images; None where it was taught no class.

  Args:
    config: the configuration.
    scored: the images as both networks saw them.
    label: `[n]` their classes.
    temperature: of the class probabilities.
  """
  if scored.logits is None:
    return None
  return evaluate.Diagnosis(
    logits=scored.logits,
    label=label,
    class_names=networks.class_names(config),
    temperature=temperature,
    oracle_logits=scored.oracle_logits,
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
  if not (config.eval.temperature_scaling and networks.learns_classes(config)):
    return 1.0
  source = data.load(config, ids)
  seen = batched_inference.look(
    players(config, final=True), variables, source, options=options(config)
  )
  logits = np.concatenate([part.logits for part in seen])  # D judges
  return classification.fit_temperature(logits, source.label)
