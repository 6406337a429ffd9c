"""XE-Tversky: which weight belongs to which term."""

import math

import numpy as np
import pytest

from apppau_jax import errors
from apppau_jax.losses import cross_entropy_tversky_loss

# p = 3/4, 1/4 | 3/4, 1/2 over the mask 1, 1 | 0, 0: TP = 1, FN = 1, FP = 5/4.
LOGITS = np.float32([math.log(3), -math.log(3), math.log(3), 0]).reshape(
  1, 2, 2, 1
)
MASK = np.float32([1, 1, 0, 0]).reshape(1, 2, 2, 1)
ENTROPY = (math.log(4 / 3) + 2 * math.log(4) + math.log(2)) / 4


@pytest.mark.parametrize(
  ("options", "expected"),
  [
    ({}, ENTROPY + 1 - 1 / 2.075),
    ({"cross_entropy_weight": 0}, 1 - 1 / 2.075),
    ({"tversky_weight": 0}, ENTROPY),
    (
      {"cross_entropy_weight": 0.1, "tversky_weight": 3},
      0.1 * ENTROPY + 3 * (1 - 1 / 2.075),
    ),
    ({"fp_weight": 0.7, "fn_weight": 0.3}, ENTROPY + 1 - 1 / 2.175),
    ({"smooth": 2}, ENTROPY + 1 - 3 / 4.075),
  ],
)
def test_hand_computed(options, expected):
  actual = cross_entropy_tversky_loss(LOGITS, MASK, **options)
  np.testing.assert_allclose(actual, [expected], rtol=1e-5)


def test_both_terms_vanish_together():
  actual = cross_entropy_tversky_loss(100 * (2 * MASK - 1), MASK)
  np.testing.assert_allclose(actual, [0], atol=1e-7)


def test_options_out_of_range():
  with pytest.raises(errors.ConfigError, match="fn_weight=-1"):
    cross_entropy_tversky_loss(LOGITS, MASK, fn_weight=-1)
