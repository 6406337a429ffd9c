"""Several trained networks as one: the mean of their probabilities.

Deep ensembles (Lakshminarayanan et al. 2017): runs that differ in their seed,
or in their network, err in different places; what they share remains.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy import special

from apppau_jax.inference.batched_inference import Diagnose, Predict
from apppau_jax.metrics import classification

_LEAST = 1e-6  # of a probability; that of `training.inference`'s views


def predict(members: Sequence[Predict]) -> Predict:
  """S of an ensemble, whose weights are the members' in their order.

  Of its outputs `logits` is the logit of the mean probability; side outputs
  and attention are the first member's.

  Args:
    members: each one's S.
  """

  def mean(variables: Sequence[Any], image: np.ndarray) -> Any:
    outputs = [p(v, image) for p, v in zip(members, variables, strict=True)]
    probs = [special.expit(np.asarray(output.logits)) for output in outputs]
    logits = special.logit(np.mean(probs, axis=0).clip(_LEAST, 1 - _LEAST))
    return dataclasses.replace(outputs[0], logits=logits)

  return mean


def diagnose(
  members: Sequence[Diagnose], *, temperatures: Sequence[float]
) -> Diagnose:
  """D of an ensemble, whose weights are the members' in their order.

  Each member judges the mask that it is shown, the ensemble's. The logits are
  such that the classes' probabilities, and apart from them that of the fake
  class, are the mean over the members.

  Args:
    members: each one's D.
    temperatures: each one's, of its class probabilities.
  """

  def mean(
    variables: Sequence[Any], image: np.ndarray, mask: np.ndarray
  ) -> np.ndarray:
    said = zip(members, variables, temperatures, strict=True)
    real, fake = [], []
    for judge, weights, temperature in said:
      logits = np.asarray(judge(weights, image, mask), np.float64)
      real.append(classification.posterior(logits, temperature=temperature))
      fake.append(special.softmax(logits, axis=1)[:, -1:])
    fakes = np.mean(fake, axis=0)
    probs = np.concatenate([np.mean(real, axis=0) * (1 - fakes), fakes], axis=1)
    return np.log(probs.clip(np.finfo(np.float64).tiny))

  return mean
