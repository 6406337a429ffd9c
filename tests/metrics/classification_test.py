"""Posterior, temperature and the summary with its intervals."""

import json

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st
from scipy import stats
from sklearn.metrics import log_loss

from apppau_jax.metrics import classification

few = hypothesis.settings(max_examples=25, derandomize=True, deadline=None)
NAMES = ["normal", "tb"]


def drawn(m=3000, *, classes=3, temperature=1.0, seed=0):
  """Logits [m, n + 1] whose labels follow softmax(real / temperature)."""
  rng = np.random.default_rng(seed)
  logits = rng.normal(scale=3, size=(m, classes + 1))
  noise = rng.gumbel(size=(m, classes))
  return logits, (logits[:, :-1] / temperature + noise).argmax(axis=1)


def two(m=40, *, seed=1):
  logits, label = drawn(m, classes=2, seed=seed, temperature=2.0)
  return classification.posterior(logits), label


def test_posterior_by_hand_for_any_fake_logit():
  logits = np.log([[1.0, 3.0, 5.0], [2.0, 2.0, 0.01]])
  expected = [[0.25, 0.75], [0.5, 0.5]]
  np.testing.assert_allclose(classification.posterior(logits), expected)
  logits[:, 2] = 700.0
  np.testing.assert_allclose(classification.posterior(logits), expected)
  sharp = classification.posterior(logits, temperature=0.5)
  np.testing.assert_allclose(sharp[0], [0.1, 0.9])
  extreme = classification.posterior(np.array([[1e4, -1e4, 0.0]], np.float32))
  np.testing.assert_array_equal(extreme, [[1.0, 0.0]])


@few
@hypothesis.given(st.integers(0, 99), st.floats(0.1, 10))
def test_temperature_keeps_the_predicted_class(seed, temperature):
  logits, _ = drawn(30, seed=seed)
  scaled = classification.posterior(logits, temperature=temperature)
  np.testing.assert_allclose(scaled.sum(axis=1), 1)
  expected = logits[:, :-1].argmax(axis=1)
  np.testing.assert_array_equal(scaled.argmax(axis=1), expected)


@pytest.mark.parametrize(
  ("logits", "temperature", "match"),
  [
    (np.zeros((3, 2)), 1.0, "n >= 2"),
    (np.zeros(3), 1.0, "n >= 2"),
    (np.array([[0.0, np.nan, 0.0]]), 1.0, "finite"),
    (np.zeros((1, 3)), 0.0, "temperature"),
    (np.zeros((1, 3)), np.inf, "temperature"),
  ],
)
def test_posterior_refuses(logits, temperature, match):
  with pytest.raises(ValueError, match=match):
    classification.posterior(logits, temperature=temperature)


@pytest.mark.parametrize(("seed", "classes"), [(0, 2), (1, 2), (2, 3), (3, 4)])
def test_temperature_beats_a_grid(seed, classes):
  logits, label = drawn(60, classes=classes, temperature=1.7, seed=seed)

  def loss(temperature):
    probs = classification.posterior(logits, temperature=temperature)
    return log_loss(label, probs, labels=range(classes))

  got = classification.fit_temperature(logits, label)
  grid = np.geomspace(*classification.TEMPERATURES, 61)
  losses = [loss(t) for t in grid]
  best = int(np.argmin(losses))
  assert loss(got) <= losses[best] + 1e-12
  assert grid[max(best - 1, 0)] <= got <= grid[min(best + 1, 60)]


def test_temperature_of_separable_hopeless_and_empty_cases():
  low, high = classification.TEMPERATURES
  logits = np.array([[3.0, 0.0, 9.0], [0.0, 2.0, 9.0], [0.0, 5.0, 9.0]])
  fit = classification.fit_temperature
  assert fit(logits, [0, 1, 1]) == fit(100 * logits, [0, 1, 1]) == low
  assert fit(logits, [1, 0, 0]) == high
  assert fit(logits, [-1, -1, -1]) == 1.0
  assert fit(np.array([[2.0, 2.0, 0.0], [1.0, 1.0, 5.0]]), [0, 1]) == 1.0


def test_temperature_ignores_images_without_class():
  logits, label = drawn(200)
  labelled = np.arange(200) % 3 > 0
  assert classification.fit_temperature(
    logits, np.where(labelled, label, -1)
  ) == classification.fit_temperature(logits[labelled], label[labelled])
  with pytest.raises(ValueError, match=r"label \(3,\) is not \[200\]"):
    classification.fit_temperature(logits, [0, 1, 0])


def test_summary_is_plain_json_of_one_structure():
  probs, label = two()
  got = classification.summarise(probs, label, class_names=NAMES)
  assert json.loads(json.dumps(got, allow_nan=False)) == got
  names = {*got} - {"n", "class_names", "confusion", "ci95", "undefined"}
  assert {*got["ci95"]} == names
  assert got["undefined"] == {}
  assert np.sum(got["confusion"]) == got["n"] == 40
  assert got["confusion"][0][0] == np.sum((label == 0) & (probs[:, 0] > 0.5))
  assert {*got["f1"]} == {*got["ci95"]["f1"]} == {*NAMES}


@pytest.mark.parametrize(("seed", "classes"), [(0, 2), (1, 2), (2, 3), (3, 3)])
def test_intervals_hold_the_estimate(seed, classes):
  logits, label = drawn(30, classes=classes, seed=seed)
  assert len(np.unique(label)) == classes
  probs = classification.posterior(logits)
  got = classification.summarise(probs, label, class_names="abc"[:classes])
  flat = got | {f"f1 {c}": value for c, value in got["f1"].items()}
  by_class = got["ci95"].pop("f1")
  ci95 = got["ci95"] | {f"f1 {c}": x for c, x in by_class.items()}
  for name, (low, high) in ci95.items():
    assert low <= flat[name] <= high, name
  assert len(ci95) == 8 + classes


def test_interval_of_accuracy_is_that_of_stratified_binomials():
  # 30 of 40 and 12 of 20 right: the sum of two binomials, exactly.
  label = np.repeat([0, 1], [40, 20])
  right = np.concatenate([np.arange(40) < 30, np.arange(20) < 12])
  guess = np.where(right, label, 1 - label)
  probs = np.eye(2)[guess] * 0.6 + 0.2
  got = classification.summarise(probs, label, class_names=NAMES)
  counts = np.convolve(
    stats.binom.pmf(np.arange(41), 40, 0.75),
    stats.binom.pmf(np.arange(21), 20, 0.6),
  ).cumsum()
  expected = [np.searchsorted(counts, q) / 60 for q in (0.025, 0.975)]
  assert got["ci95"]["accuracy"] == pytest.approx(expected, abs=1.01 / 60)
  assert got["ci95"]["majority_accuracy"] == pytest.approx([2 / 3, 2 / 3])


def test_interval_of_auroc_matches_a_plain_bootstrap():
  probs, label = two(60)
  rng = np.random.default_rng(5)
  own = [np.flatnonzero(label == c) for c in (0, 1)]
  values = []
  for _ in range(2000):
    rows = np.concatenate([rng.choice(x, len(x)) for x in own])
    sick, well = (probs[rows, 1][label[rows] == c] for c in (1, 0))
    values.append(np.sign(sick[:, None] - well).mean() / 2 + 0.5)
  got = classification.summarise(probs, label, class_names=NAMES)["ci95"]
  expected = np.percentile(values, [2.5, 97.5])
  assert got["auroc"] == pytest.approx(expected, abs=0.25 * np.std(values))


def test_resampling_follows_the_seed():
  probs, label = two()
  first, same, other = (
    classification.summarise(probs, label, class_names=NAMES, seed=seed)
    for seed in (3, 3, 4)
  )
  assert first == same
  assert first["ci95"]["brier"] != other["ci95"]["brier"]
  assert first["brier"] == other["brier"]


def test_a_class_without_images_is_null_with_a_reason():
  probs = [[0.8, 0.1, 0.1], [0.1, 0.8, 0.1], [0.1, 0.2, 0.7]]
  got = classification.summarise(probs, [0, 1, 0], class_names="abc")
  json.dumps(got, allow_nan=False)
  reasons = dict.fromkeys(
    ["balanced_accuracy", "macro_f1", "f1", "auroc"], "no image of class c"
  )
  assert got["undefined"] == reasons
  assert got["f1"]["c"] is got["ci95"]["f1"]["c"] is None
  assert got["auroc"] is got["ci95"]["auroc"] is None
  assert got["f1"]["b"] == 1.0
  assert got["mcc"] is not None


@pytest.mark.parametrize(
  ("probs", "label", "names", "match"),
  [
    (np.zeros((0, 2)), [], NAMES, "at least one image"),
    ([[0.5, 0.5]], [0, 1], NAMES, r"\[m, 2\]"),
    ([[0.5, 0.5]], [0], ["a", "b", "c"], r"\[m, 3\]"),
    ([[0.5, 0.5]], [-1], NAMES, "0 to 1"),
    ([[0.5, 0.5]], [2], NAMES, "0 to 1"),
    ([[0.5, 0.6]], [0], NAMES, "sum to 1"),
    ([[1.5, -0.5]], [0], NAMES, "sum to 1"),
    ([[np.nan, 0.5]], [0], NAMES, "sum to 1"),
    ([[0.5, 0.5]], [0], ["a", "a"], "class names"),
    ([[1.0]], [0], ["a"], "class names"),
  ],
)
def test_summary_refuses(probs, label, names, match):
  with pytest.raises(ValueError, match=match):
    classification.summarise(probs, label, class_names=names)
