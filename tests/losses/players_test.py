"""S against D: their objectives by NumPy, and whose weights each one moves."""

import dataclasses
import math

import chex
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special

from apppau_jax.errors import ConfigError
from apppau_jax.losses import consistency, objectives
from apppau_jax.models import discriminator

RNG = np.random.default_rng(0)
REAL = np.float32(RNG.normal(0, 3, (4, 4)))  # r = 4 of b = 6, n = 3
FAKE = np.float32(RNG.normal(0, 3, (6, 4)))
LABEL = np.array([2, 0, -1, 1, 1, -1])
HAS_MASK = np.array([True, False, True, True, False, False])
HAS_LABEL = np.array([True, True, False, True, True, False])


def _terms(real, fake, label, has_mask, has_label, *, conditional):
  """Eqs. (6) to (8) from probabilities, one pair at a time, in float64."""
  real, fake = (special.softmax(np.float64(s), axis=-1) for s in (real, fake))
  terms = {"class": [], "real": [], "fake": [], "class_predicted": []}
  for i, p in enumerate(real):
    if has_mask[i]:
      terms["real"].append(-math.log(sum(p[:-1])))
      if has_label[i]:
        total = sum(p[:-1]) if conditional else 1
        terms["class"].append(-math.log(p[label[i]] / total))
  for i, p in enumerate(fake):
    terms["fake"].append(-math.log(p[-1]))
    if has_label[i]:
      terms["class_predicted"].append(-math.log(p[label[i]] / sum(p[:-1])))
  terms = {k: sum(v) / len(v) if v else 0.0 for k, v in terms.items()}
  right = [p[-1] <= 0.5 for p, m in zip(real, has_mask) if m]
  terms["real_accuracy"] = sum(right) / len(right) if right else 0.0
  terms["fake_accuracy"] = np.mean(fake[:, -1] > 0.5)
  return terms


def _objective(real, fake, known, weights):
  label, has_mask, has_label = known
  return objectives.discriminator_objective(
    real,
    fake,
    label=label,
    has_mask=has_mask,
    has_label=has_label,
    weights=weights,
  )


KNOWN = (LABEL, HAS_MASK, HAS_LABEL)
_compiled = jax.jit(_objective, static_argnums=3)
WEIGHTS = {
  "default": objectives.DiscriminatorWeights(),
  "literal": objectives.DiscriminatorWeights(conditional=False),
  "reweighed": objectives.DiscriminatorWeights(
    class_weight=0.3, real_weight=2.0, fake_weight=0.7, predicted_weight=1.5
  ),
}


@pytest.mark.parametrize("name", WEIGHTS)
def test_d_is_its_equations(name):
  weights = WEIGHTS[name]
  terms = _terms(REAL, FAKE, *KNOWN, conditional=weights.conditional)
  expected = (
    weights.class_weight * terms["class"]
    + weights.real_weight * terms["real"]
    + weights.fake_weight * terms["fake"]
    + weights.predicted_weight * terms["class_predicted"]
  )
  loss, actual = _compiled(REAL, FAKE, KNOWN, weights)
  assert float(loss) == pytest.approx(expected, rel=1e-5)
  assert actual.keys() == terms.keys()
  for key, value in terms.items():
    assert float(actual[key]) == pytest.approx(value, rel=1e-5), key


def test_the_defaults_are_those_of_salimans():
  weights = objectives.DiscriminatorWeights()
  assert dataclasses.astuple(weights) == (1.0, 0.5, 0.5, 0.0, True)


@pytest.mark.parametrize("rubbish", [-1, 0, 3, 99, -7])
def test_what_is_unknown_contributes_nothing(rubbish):
  """Whatever its label and logits say; row 1 has no mask, 2 and 5 no label."""
  weights = WEIGHTS["reweighed"]
  real, label = REAL.copy(), LABEL.copy()
  real[1] = [1e4, -1e4, 50, 0]
  label[~HAS_LABEL] = rubbish
  known = (label, HAS_MASK, HAS_LABEL)
  assert float(_compiled(real, FAKE, known, weights)[0]) == float(
    _compiled(REAL, FAKE, KNOWN, weights)[0]
  )

  def loss(real, fake, known):
    return _objective(real, fake, known, weights)[0]

  gradients = jax.jit(jax.grad(loss, argnums=(0, 1)))
  to_real, to_fake = gradients(real, FAKE, known)
  assert np.any(to_real, axis=1).tolist() == [True, False, True, True]
  chex.assert_trees_all_equal((to_real, to_fake), gradients(REAL, FAKE, KNOWN))


def test_a_real_pair_without_label_teaches_real_but_no_class():
  def gradient(**weights):
    spec = objectives.DiscriminatorWeights(fake_weight=0.0, **weights)
    return jax.jit(
      jax.grad(lambda real: _objective(real, FAKE, KNOWN, spec)[0])
    )(REAL)

  only_class = gradient(real_weight=0.0)
  assert np.any(only_class, axis=1).tolist() == [True, False, False, True]
  assert not np.any(only_class[:, -1])  # Conditional: the last is not asked.
  only_real = gradient(class_weight=0.0)
  assert np.any(only_real, axis=1).tolist() == [True, False, True, True]


def test_accuracies_by_hand():
  # P(fake) = 2/3, 1/3, 2/3, 1/6 of n = 2.
  shares = np.float32([[1, 0, 2], [1, 1, 1], [0.5, 0.5, 2], [4, 1, 1]])
  logits = np.log(shares + np.float32(1e-20))
  everything = np.ones(4, bool)
  _, terms = _compiled(
    logits[:3],
    logits,
    (np.zeros(4, int), np.array([True, True, False, True]), everything),
    WEIGHTS["default"],
  )
  assert float(terms["real_accuracy"]) == 0.5  # Rows 0 and 1 are real pairs.
  assert float(terms["fake_accuracy"]) == 0.5


def test_nothing_known_leaves_the_fake_term():
  unknown = (np.full(6, -1), np.zeros(6, bool), np.zeros(6, bool))
  weights = WEIGHTS["reweighed"]

  @jax.jit
  def both(real, fake):
    def loss(real, fake):
      return _objective(real, fake, unknown, weights)[0]

    return jax.value_and_grad(loss, argnums=(0, 1))(real, fake)

  loss, (to_real, to_fake) = both(REAL, FAKE)
  expected = -special.log_softmax(np.float64(FAKE), axis=-1)[:, -1].mean()
  assert float(loss) == pytest.approx(0.7 * expected, rel=1e-5)
  chex.assert_tree_all_finite(to_fake)
  assert not np.any(to_real)


def test_masked_mean_forgets_what_is_not_valid():
  values, valid = jnp.array([1.0, jnp.nan, jnp.inf, 4.0]), [1, 0, 0, 1]
  mean = objectives.masked_mean(values, jnp.array(valid, bool))
  assert float(mean) == 2.5


# S's term.

FEATURES = np.float32(RNG.normal(0, 2, (6, 5)))
REAL_FEATURES = np.float32(RNG.normal(1, 2, (4, 5)))


def _against(form, *, ramp=1.0, weight=0.3, unlabelled_weight=0.02):
  spec = objectives.Adversarial(
    form=form, weight=weight, unlabelled_weight=unlabelled_weight
  )

  def objective(logits, has_mask, ramp):
    return objectives.adversarial_objective(
      logits,
      has_mask=has_mask,
      spec=spec,
      fake_features=FEATURES,
      real_features=REAL_FEATURES,
      ramp=ramp,
    )

  return jax.jit(objective)(FAKE, HAS_MASK, ramp)


def _per_example(form):
  fake = special.softmax(np.float64(FAKE), axis=-1)[:, -1]
  gap = np.float64(FEATURES).mean(axis=0) - np.float64(REAL_FEATURES).mean(0)
  return {
    "nonsaturating": -np.log1p(-fake),
    "saturating": np.log(fake),
    "feature_matching": np.full(6, np.abs(gap).mean()),
  }[form]


@pytest.mark.parametrize("ramp", [1.0, 0.25, 0.0])
@pytest.mark.parametrize(
  "form", ["nonsaturating", "saturating", "feature_matching"]
)
def test_s_is_judged_on_all_with_a_weight_each(form, ramp):
  each = _per_example(form)
  c = np.array([0.3 if known else 0.02 for known in HAS_MASK])
  loss, terms = _against(form, ramp=ramp)
  expected = ramp * np.mean(c * each)
  assert float(loss) == pytest.approx(expected, rel=1e-5)
  assert list(terms) == ["adversarial"]
  assert float(terms["adversarial"]) == pytest.approx(each.mean(), rel=1e-5)


def test_without_a_form_there_is_no_term():
  loss, terms = _against("none")
  assert loss.shape == ()
  assert float(loss) == 0.0
  assert terms == {}


def test_a_form_that_does_not_exist():
  with pytest.raises(ConfigError, match=r"'wasserstein'.*nonsaturating"):
    objectives.Adversarial(form="wasserstein")


def test_consistency_objective():
  logits = np.float32(RNG.normal(0, 2, (3, 4, 4, 1)))
  teacher = np.float32(RNG.random((3, 4, 4, 1)))
  expected = np.mean((special.expit(np.float64(logits)) - teacher) ** 2)
  for ramp, weight in ((1.0, 0.7), (0.25, 3.0), (jnp.float32(0), 3.0)):
    loss, terms = objectives.consistency_objective(
      logits,
      teacher,
      loss_fn=consistency.mean_teacher_loss,
      weight=weight,
      ramp=ramp,
    )
    assert float(loss) == pytest.approx(
      float(ramp) * weight * expected, rel=1e-5
    )
    assert list(terms) == ["consistency"]
    assert float(terms["consistency"]) == pytest.approx(expected, rel=1e-5)


# Real networks: an S of one convolution and a small D.


GAMES = (
  "d",
  "d_leaking",
  "nonsaturating",
  "saturating",
  "feature_matching",
  "none",
)


@pytest.fixture(scope="module")
def game():
  """Maps a loss's name and the players to its value and gradients."""
  S = nn.Conv(1, (3, 3))
  D = discriminator.Discriminator(base_width=4, depth=2, dropout=0.0)
  image = jnp.asarray(RNG.normal(size=(4, 16, 16, 1)), jnp.float32)
  mask = jnp.asarray(RNG.random((2, 16, 16, 1)) < 0.4, jnp.float32)
  label, known = jnp.array([0, 1, -1, -1]), jnp.array([1, 1, 0, 0], bool)

  def judge(d, fake):
    """D on two real pairs, then on four predicted ones."""
    images, masks = jnp.concatenate([image[:2], image]), (mask, fake)
    output, _ = D.apply(
      {"params": d, "batch_stats": statistics},
      images,
      jnp.concatenate(masks),
      train=True,
      mutable=["batch_stats"],
    )
    return [jax.tree.map(lambda x, i=i: x[i], output) for i in PARTS]

  def of_d(d, fake):
    real, fake = judge(d, fake)
    return objectives.discriminator_objective(
      real.logits,
      fake.logits,
      label=label,
      has_mask=known,
      has_label=known,
      weights=objectives.DiscriminatorWeights(),
    )[0]

  def of_s(d, fake, form):
    real, fake = judge(jax.lax.stop_gradient(d), fake)
    return objectives.adversarial_objective(
      fake.logits,
      has_mask=known,
      spec=objectives.Adversarial(form=form),
      fake_features=fake.features,
      real_features=real.features,
    )[0]

  # All losses in one graph, for it compiles once; the weights pick one.
  def loss(players, weights):
    s, d = players
    fake = nn.sigmoid(S.apply({"params": s}, image))
    losses = [of_d(d, jax.lax.stop_gradient(fake)), of_d(d, fake)]
    losses += [of_s(d, fake, form) for form in GAMES[2:]]
    return jnp.vdot(weights, jnp.stack(losses))

  compiled = jax.jit(jax.value_and_grad(loss))
  s = jax.eval_shape(lambda: S.init(jax.random.key(0), image))
  d = jax.eval_shape(
    lambda: D.init(jax.random.key(0), image[:2], mask, train=False)
  )
  statistics = jax.tree.map(
    lambda w: jnp.zeros(w.shape, w.dtype), d["batch_stats"]
  )
  rng = np.random.default_rng(1)
  players = jax.tree.map(
    lambda w: jnp.asarray(rng.normal(0, 0.3, w.shape), jnp.float32),
    (s["params"], d["params"]),
  )

  def play(name, players=players):
    return compiled(players, np.float32([name == other for other in GAMES]))

  return players, play


PARTS = (slice(0, 2), slice(2, 6))  # of D's batch: real, predicted


def _moves(tree):
  return [bool(np.any(np.abs(g) > 1e-7)) for g in jax.tree.leaves(tree)]


def _still(tree):
  return not any(np.any(g) for g in jax.tree.leaves(tree))


def test_d_learns_and_s_stands_still(game):
  _, play = game
  to_s, to_d = play("d")[1]
  assert _still(to_s)
  assert all(_moves(to_d))
  leak, _ = play("d_leaking")[1]  # Else the zeros above would mean nothing.
  assert all(_moves(leak))


@pytest.mark.parametrize(
  "form", ["nonsaturating", "saturating", "feature_matching"]
)
def test_s_learns_and_d_stands_still(game, form):
  to_s, to_d = game[1](form)[1]
  assert all(_moves(to_s))
  assert _still(to_d)


def test_without_a_form_nobody_learns(game):
  value, gradients = game[1]("none")
  assert float(value) == 0.0
  assert _still(gradients)


@pytest.mark.parametrize("name", ["d", "nonsaturating", "feature_matching"])
def test_a_player_gains_by_its_own_step(game, name):
  players, play = game
  value, gradients = play(name)
  stride = 0.01 / sum(np.vdot(g, g) ** 0.5 for g in jax.tree.leaves(gradients))
  moved = jax.tree.map(lambda w, g: w - stride * g, players, gradients)
  assert play(name, moved)[0] < value
