"""Deep ensembles (Lakshminarayanan et al. 2017): means of probabilities."""

import dataclasses
from collections.abc import Sequence

import numpy as np
from scipy import special

from apppau_jax.metrics import classification
from apppau_jax.models.segmentor import SegmentorOutput

_LEAST = 1e-6  # of a probability before its logit is taken


def mean_segmentation(outputs: Sequence[SegmentorOutput]) -> SegmentorOutput:
  """Averages the members' probabilities.

  Args:
    outputs: of each member, for the same images.

  Returns:
    `logits` is the logit of the mean probability, `samples` are those of all
    members; side outputs and attention are those of the first one.
  """
  probs = [special.expit(np.asarray(output.logits)) for output in outputs]
  mean = np.mean(probs, axis=0).clip(_LEAST, 1 - _LEAST)
  samples = [
    sample
    for output, prob in zip(outputs, probs)
    for sample in output.samples or (prob,)
  ]
  return dataclasses.replace(
    outputs[0], logits=special.logit(mean), samples=tuple(samples)
  )


def class_range(
  logits: Sequence[np.ndarray],
  *,
  temperatures: Sequence[float],
  multi_label: bool = False,
) -> np.ndarray:
  """Returns the lowest and the highest class probability of all members.

  Args:
    logits: `[b, n + 1]` of each member, the fake class last.
    temperatures: of each member's class probabilities.
    multi_label: see `classification.posterior`.

  Returns:
    `[b, n, 2]`; no interval of a stated probability, since members are few.
  """
  each = [
    classification.posterior(own, temperature=t, multi_label=multi_label)
    for own, t in zip(logits, temperatures, strict=True)
  ]
  return np.stack([np.min(each, axis=0), np.max(each, axis=0)], axis=-1)


def mean_classification(
  logits: Sequence[np.ndarray],
  *,
  temperatures: Sequence[float],
  multi_label: bool = False,
) -> np.ndarray:
  """Averages the members' class probabilities.

  Args:
    logits: `[b, n + 1]` of each member, the fake class last.
    temperatures: of each member's class probabilities.
    multi_label: see `classification.posterior`.

  Returns:
    Logits `[b, n + 1]` whose class probabilities are the mean of the members'
    calibrated ones, and whose probability of the fake class is the mean of
    the members' own.
  """
  if multi_label:
    each = [special.expit(own / t) for own, t in zip(logits, temperatures)]
    return special.logit(np.mean(each, axis=0).clip(_LEAST, 1 - _LEAST))
  real, fake = [], []
  for own, temperature in zip(logits, temperatures, strict=True):
    own = np.asarray(own, np.float64)
    real.append(classification.posterior(own, temperature=temperature))
    fake.append(special.softmax(own, axis=1)[:, -1:])
  fakes = np.mean(fake, axis=0)
  probs = np.concatenate([np.mean(real, axis=0) * (1 - fakes), fakes], axis=1)
  return np.log(probs.clip(np.finfo(np.float64).tiny))
