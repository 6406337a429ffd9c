"""Validation during training: which numbers follow it, and what selects."""

import numpy as np

from apppau_jax.datasets import examples
from apppau_jax.errors import ConfigError
from apppau_jax.experiment import loading, networks
from apppau_jax.experiment.networks import Config
from apppau_jax.imaging import grey_levels
from apppau_jax.inference import outputs, overlay
from apppau_jax.metrics import classes, classification, findings
from apppau_jax.training import loop, parallel
from apppau_jax.training.state import TrainState

_SHOWN = 4  # images in TensorBoard's overlay


def validation(
  config: Config,
  source: examples.Source,
  mesh: parallel.Mesh,
  *,
  more: examples.Source | None = None,
) -> loop.EvaluateFn:
  """Returns the loop's validation: lung Dice, AUROC and a few overlays.

  With structures `dice` is the mean over them, and each has its own besides.

  Args:
    config: the configuration.
    source: images with masks.
    mesh: the devices.
    more: images without masks, of which the classes alone are measured.

  Raises:
    ConfigError: `train.select_by` needs classes that no image shows.
  """
  names = tuple(config.data.structures)
  sources = [source] if more is None else [source, more]
  label = np.concatenate([one.label for one in sources])
  if config.train.select_by != "dice":
    _check_classes(config, label)

  def validate(state: TrainState):
    member = loading.member(config, state.averages, final=False)
    model = loading.model(config, [member], mesh=mesh)
    dices, logits, pictures = [], [], []
    for part in model.batches(source):
      dices.append(outputs.dice(part.prediction, part.mask))
      logits.append(part.logits)
      pictures += _overlays(part, count=_SHOWN - len(pictures))
    each = np.concatenate(dices)  # [n, k]
    values = each.mean(axis=1) if names else each[:, 0]
    numbers = {"dice": float(values.mean()), "dice_worst": float(values.min())}
    for k, name in enumerate(names):
      numbers[f"dice_{name}"] = float(each[:, k].mean())
    if model.class_names:
      if more is not None:
        logits += [part.logits for part in model.batches(more)]
      found = np.concatenate(logits)
      measure = _of_findings if model.multi_label else _of_classes
      numbers |= measure(found, label, dice=numbers["dice"])
    return numbers, {"validation/overlay": np.concatenate(pictures, axis=1)}

  return validate


def _overlays(part: outputs.Outputs, *, count: int) -> list[np.ndarray]:
  shown = zip(part.image[:count], part.mask, part.prediction)
  return [
    overlay.draw(
      grey_levels.unit(image[..., 0]), mask=mask, prediction=prediction
    )
    for image, mask, prediction in shown
  ]


def _check_classes(config: Config, label: np.ndarray) -> None:
  """AUROC is the mean over the classes, each against the others."""
  if networks.is_multi_label(config):
    if not any({0, 1} <= {*column} for column in label.T):
      raise ConfigError(
        f"config.train.select_by={config.train.select_by!r} needs validation "
        "images with and without a finding. Select by dice."
      )
    return
  names = networks.class_names(config)
  absent = [n for i, n in enumerate(names) if not (label == i).any()]
  if absent or len(names) < 2:
    raise ConfigError(
      f"config.train.select_by={config.train.select_by!r} needs validation "
      "images of every class and at least two classes; there is none of "
      f"{', '.join(absent) or 'a second one'}. Select by dice."
    )


def _of_classes(
  logits: np.ndarray, label: np.ndarray, *, dice: float
) -> dict[str, float]:
  """Classification metrics of the labelled images, where they are defined."""
  labelled = label >= 0
  if not labelled.any():
    return {}
  found = classes.measure(
    np.ones((1, labelled.sum())),
    probs=classification.posterior(logits[labelled]),
    label=label[labelled],
  )
  values = {k: float(found[k][0]) for k in ("balanced_accuracy", "auroc")}
  values["dice_auroc"] = (dice + values["auroc"]) / 2.0
  return {k: v for k, v in values.items() if np.isfinite(v)}


def _of_findings(
  logits: np.ndarray, label: np.ndarray, *, dice: float
) -> dict[str, float]:
  """The mean AUROC of the findings, where it is defined."""
  probs = classification.posterior(logits, multi_label=True)
  auroc = findings.mean_auroc(probs, label)
  if not np.isfinite(auroc):
    return {}
  return {"auroc": auroc, "dice_auroc": (dice + auroc) / 2.0}
