"""Several networks as one, against means taken by hand."""

import dataclasses
import types

import numpy as np
import pytest
from scipy import special

from apppau_jax.inference import batched_inference, ensemble
from apppau_jax.metrics import classification


@dataclasses.dataclass(frozen=True)
class _Output:
  logits: np.ndarray
  side_logits: tuple[np.ndarray, ...] = ()


def _constant(value):
  """A network that answers its weight plus `value` everywhere."""

  def predict(variables, image):
    logits = np.full(image.shape, variables + value, np.float32)
    return _Output(logits=logits, side_logits=(logits,))

  return predict


def test_masks_are_the_mean_of_probabilities_not_of_logits():
  both = ensemble.predict([_constant(0.0), _constant(1.0)])
  image = np.zeros((2, 4, 4, 1), np.uint8)
  output = both([-1.0, 3.0], image)
  expected = (special.expit(-1.0) + special.expit(4.0)) / 2
  found = special.expit(output.logits)
  np.testing.assert_allclose(found, np.full(image.shape, expected), rtol=1e-5)
  assert abs(expected - special.expit(1.5)) > 0.1  # what the logits would give
  np.testing.assert_array_equal(output.side_logits[0], -1.0)  # the first's
  with pytest.raises(ValueError, match="shorter"):
    both([0.0], image)


def test_certain_members_stay_finite():
  both = ensemble.predict([_constant(0.0)] * 2)
  output = both([200.0, 200.0], np.zeros((1, 2, 2, 1)))
  assert np.isfinite(output.logits).all()


def test_diagnoses_are_means_each_at_its_own_temperature():
  """One that calls every mask fake has as much to say of the class."""
  rng = np.random.default_rng(0)
  said = [rng.normal(size=(5, 4)), rng.normal(size=(5, 4))]
  said[1][:, -1] += 9.0
  judges = [lambda v, image, mask, x=x: x * v for x in said]
  both = ensemble.diagnose(judges, temperatures=(1.0, 2.5))
  image = np.zeros((5, 4, 4, 1))
  found = both([1.0, 1.0], image, image)
  expected = np.mean(
    [
      special.softmax(said[0][:, :3], axis=1),
      special.softmax(said[1][:, :3] / 2.5, axis=1),
    ],
    axis=0,
  )
  np.testing.assert_allclose(classification.posterior(found), expected)
  fake = np.mean([special.softmax(x, axis=1)[:, 3] for x in said], axis=0)
  np.testing.assert_allclose(special.softmax(found, axis=1)[:, 3], fake)


def test_a_sure_ensemble_has_finite_logits():
  sure = np.array([[800.0, -800.0, 0.0]])
  judge = ensemble.diagnose([lambda *_: sure] * 2, temperatures=(1.0, 1.0))
  found = judge([0, 0], np.zeros((1, 2, 2, 1)), np.zeros((1, 2, 2, 1)))
  assert np.isfinite(found).all()
  assert classification.posterior(found)[0, 0] == pytest.approx(1.0)


def test_every_member_judges_the_ensembles_mask():
  """Not the mask of its own segmentor."""
  shown = []

  def judge(variables, image, mask):
    shown.append((variables, mask[:, 0, 0, 0].copy()))
    return np.zeros((len(image), 3))

  players = batched_inference.Players(
    predict=ensemble.predict([_constant(0.0), _constant(0.0)]),
    diagnose=ensemble.diagnose([judge, judge], temperatures=(1.0, 1.0)),
  )
  images = np.zeros((2, 4, 4, 1), np.uint8)
  source = types.SimpleNamespace(
    ids=("a", "b"),
    batches=lambda rows: (
      types.SimpleNamespace(image=images[r], mask=images[r]) for r in rows
    ),
  )
  variables = {"segmentor": [-2.0, 1.0], "discriminator": ["first", "second"]}
  options = batched_inference.Options(batch_size=2)
  (seen,) = batched_inference.look(players, variables, source, options=options)
  expected = (special.expit(-2.0) + special.expit(1.0)) / 2
  assert [name for name, _ in shown] == ["first", "second"]
  for _, mask in shown:
    np.testing.assert_allclose(mask, [expected] * 2, rtol=1e-5)
  np.testing.assert_allclose(seen.prob, expected, rtol=1e-5)
