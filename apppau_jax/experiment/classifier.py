"""Fit a linear classifier to S's features, after S is trained.

Logistic regression with a quadratic penalty, whose weight is chosen by folds
within the training images. It learns from few images, and needs neither
gradients through the network nor validation images.

The run or model that training starts from may have a classifier too, as the
model in the package has one of phantoms. What that one calls a disease is then
one more feature, which hardly counts in the penalty: with few images it decides
(results/diagnosis.md).
"""

import functools
import pathlib
from typing import Any

import jax
import numpy as np

from apppau_jax import models, progress
from apppau_jax.config import Config
from apppau_jax.datasets.dataset import Dataset
from apppau_jax.datasets.examples import Source
from apppau_jax.datasets.parts import Parts
from apppau_jax.experiment import (
  data,
  loading,
  model_file,
  networks,
  restoring,
  start_from,
  weights_file,
)
from apppau_jax.inference.model import Model
from apppau_jax.models import feature_classifier
from apppau_jax.training.state import CLASSIFIER, Variables
from apppau_jax.transforms import normalize

_PENALTIES = (1e-4, 1e-3, 1e-2, 1e-1)  # weights of the likelihood
_FEW = 1e-3  # where there are too few images for folds
_FOLDS = 5
_LEAST_SD = 1e-4  # of a feature that is standardised
# Standard deviation of the features that another classifier makes, where all
# others have 1: as much less does the penalty count for them.
_TRUST = 30.0


def fit(
  config: Config, dataset: Dataset, *, parts: Parts, workdir: pathlib.Path
) -> None:
  """Fits the classifier of a trained run, and writes model.safetensors.

  Args:
    config: of the run.
    dataset: the prepared set.
    parts: its split; the images of `parts.classes` teach.
    workdir: the run folder.
  """
  source = data.load_with_classes(config, dataset, parts=parts)
  variables, step = restoring.trained(config, workdir=workdir)
  model = loading.model(config, [loading.member(config, variables, final=True)])
  progress.LOG.info(
    "fitting the classifier to the classes of %d training images",
    len(source.ids),
  )
  network = networks.feature_classifier(config)
  found = fit_linear(
    features(network, model, source),
    source.label,
    start=start_from.classifier(config),
  )
  model_file.write(
    weights_file.path(workdir),
    model_file.ModelFile(
      config=config,
      variables={**variables, CLASSIFIER: found},
      step=step,
      card=weights_file.card(config.eval.checkpoint),
    ),
  )


def features(
  network: models.FeatureClassifier, model: Model, source: Source
) -> np.ndarray:
  """Returns the features `[m, f]` of images, pooled over the predicted lungs.

  Args:
    network: the classifier.
    model: one run, which predicts the lungs.
    source: the images.
  """
  (member,) = model.members
  found = []
  with progress.bar("features") as update:
    for part in model.batches(source):
      count = len(part.image)
      rows = np.arange(model.batch_size) % count  # one program for all batches
      pooled = _pooled(
        network,
        member.variables,
        part.image[rows],
        part.prob[rows],
        normalization=member.normalization,
      )
      found.append(np.asarray(pooled)[:count])
      update(sum(map(len, found)), len(source.ids))
  return np.concatenate(found)


@functools.partial(jax.jit, static_argnums=0, static_argnames="normalization")
def _pooled(
  network: models.FeatureClassifier,
  segmentor: Variables,
  image: Any,
  mask: Any,
  *,
  normalization: str,
) -> jax.Array:
  image = normalize.normalize(image, method=normalization)
  lungs = network.of_lungs(mask)
  return feature_classifier.pooled(network.segmentor, segmentor, image, lungs)


def fit_linear(
  features: np.ndarray, label: np.ndarray, *, start: Variables | None = None
) -> Variables:
  """Fits logistic regression.

  Args:
    features: `[m, f]`.
    label: `[m]` in 0..n-1, each of which occurs; or `[m, n]` findings, 1 or 0;
      -1 where unknown.
    start: another classifier of such features, of any number of classes; it is
      not used if it has another number of features.

  Returns:
    The variables of a `FeatureClassifier` beside those of its segmentor.
  """
  mean, sd = features.mean(axis=0), features.std(axis=0)
  sd = np.where(sd > _LEAST_SD, sd, 1.0)
  scaled = (features - mean) / sd
  known = _directions(start, scaled)
  # The penalty is the same in every orthonormal basis. In one of the images'
  # own span there are as many features as images, and the fit takes seconds.
  left, values, basis = np.linalg.svd(
    np.concatenate([scaled, scaled @ known], axis=1), full_matrices=False
  )
  scaled = left * values
  if label.ndim == 1:
    stated = label >= 0
    kernel, bias = _regression(scaled[stated], label[stated])
  else:
    each = [_finding(scaled, column) for column in label.T]
    kernel, bias = (np.stack(parts, axis=-1) for parts in zip(*each))
  kernel = basis.T @ kernel
  kernel = kernel[: len(mean)] + known @ kernel[len(mean) :]
  params = {"mean": mean, "sd": sd, "head": {"kernel": kernel, "bias": bias}}
  return {"params": jax.tree.map(np.float32, params), "batch_stats": {}}


def logits(fitted: Variables, features: np.ndarray) -> np.ndarray:
  """Returns the logits `[m, n]` of features `[m, f]`."""
  params: Any = fitted["params"]
  scaled = (features - params["mean"]) / params["sd"]
  return scaled @ params["head"]["kernel"] + params["head"]["bias"]


def _directions(start: Variables | None, scaled: np.ndarray) -> np.ndarray:
  """Returns `[f, d]`: what another classifier adds up of the features.

  Args:
    start: the classifier; None for none.
    scaled: standardised features `[m, f]`.
  """
  none = np.zeros((scaled.shape[1], 0))
  if start is None:
    return none
  params: Any = start["params"]
  kernel = np.asarray(params["head"]["kernel"], np.float64)
  if len(kernel) != len(none):
    return none
  between = kernel[:, 1:] - kernel[:, :1] if kernel.shape[1] > 1 else kernel
  sd = (scaled @ between).std(axis=0)
  return between[:, sd > 0] * _TRUST / sd[sd > 0]


def _finding(
  features: np.ndarray, label: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
  """Returns kernel `[f]` and bias of a finding; 0 where it teaches nothing."""
  known = label >= 0
  if len({*label[known]}) < 2:
    return np.zeros(features.shape[1]), np.zeros(())
  kernel, bias = _regression(features[known], label[known])
  return kernel[:, 1] - kernel[:, 0], bias[1] - bias[0]


def _regression(
  features: np.ndarray, label: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
  """Returns kernel `[f, c]` and bias `[c]` of the c classes that occur."""
  # slow to import, and needed only here
  from sklearn import linear_model, model_selection

  regression = linear_model.LogisticRegression(C=_FEW, solver="newton-cholesky")
  folds = min(_FOLDS, np.unique(label, return_counts=True)[1].min())
  if folds >= 2:
    binary = len(np.unique(label)) == 2
    search = model_selection.GridSearchCV(
      regression,
      {"C": _PENALTIES},
      scoring="roc_auc" if binary else "roc_auc_ovr",
      cv=model_selection.StratifiedKFold(folds, shuffle=True, random_state=0),
    )
    regression = search.fit(features, label).best_estimator_
  else:
    regression.fit(features, label)
  weight, offset = regression.coef_.T, regression.intercept_
  if weight.shape[1] == 1:  # of two classes scikit-learn states the second
    weight, offset = weight * [[-0.5, 0.5]], offset * [-0.5, 0.5]
  return weight, offset
