"""The step with a discriminator: who learns from what, in which order."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from fixtures.tiny_network import Game, predict, train
from scipy import special

from apppau_jax.losses import adversarial
from apppau_jax.training import parallel, step_terms

LABELLED = Game.labelled


@pytest.fixture(scope="module")
def first(game):
  return jax.jit(game.init)()


@pytest.fixture(scope="module")
def run(game):
  return jax.jit(game.step())


def _same(a, b):
  equal = jax.tree.map(lambda x, y: bool(np.array_equal(x, y)), a, b)
  return all(jax.tree.leaves(equal))


def _train(module, variables, *inputs):
  return train(module, variables, *inputs)[0]


def test_each_player_learns_from_its_own_minibatch(game, first, run):
  batch = game.first()
  after = run(first, batch)[0].players
  flipped = batch.image.at[1].set(255 - batch.image[1])
  other = run(first, dataclasses.replace(batch, image=flipped))[0].players
  assert _same(after["discriminator"], other["discriminator"])
  assert not _same(after["segmentor"].params, other["segmentor"].params)

  flipped = batch.image.at[0].set(255 - batch.image[0])
  other = run(first, dataclasses.replace(batch, image=flipped))[0].players
  assert not _same(after["discriminator"].params, other["discriminator"].params)
  # The minibatch of S is the same: the difference came through D.
  assert not _same(after["segmentor"].params, other["segmentor"].params)


def test_without_the_adversarial_term_s_ignores_d(game, first):
  run = jax.jit(game.step(adversarial=False))
  batch = game.first()
  after, metrics = run(first, batch)
  flipped = batch.image.at[0].set(255 - batch.image[0])
  other, _ = run(first, dataclasses.replace(batch, image=flipped))
  after, other = after.players, other.players
  assert _same(after["segmentor"], other["segmentor"])
  assert not _same(after["discriminator"].params, other["discriminator"].params)
  assert "adversarial" not in metrics


def test_s_faces_the_updated_d_in_inference_mode(game, first, run):
  """The logged term against eq. (5), written out here."""
  after, metrics = run(first, game.first())
  batch = game.prepared()
  output = _train(
    game.module, first.players["segmentor"].variables, batch.image
  )

  def term(player):
    judged = predict(
      game.d, player.variables, batch.image, jax.nn.sigmoid(output.logits)
    )
    fake = special.softmax(np.float64(judged.logits), axis=1)[:, -1]
    return -np.log(1 - fake)

  each = term(after.players["discriminator"])
  assert float(metrics["adversarial"]) == pytest.approx(each.mean(), rel=1e-5)
  before = term(first.players["discriminator"]).mean()
  assert each.mean() != pytest.approx(before, 1e-4)
  weighted = (0.5 * each[:2].sum() + 0.2 * each[2:].sum()) / 4
  total = float(metrics["segmentation"]) + weighted
  assert float(metrics["loss"]) == pytest.approx(total, rel=1e-5)


def test_ds_terms_are_its_equations_on_real_and_predicted_pairs(resident):
  """One pass over real pairs, masks smoothed, and predicted pairs of all."""
  game = Game(resident, dropout=0.0)
  first = jax.jit(game.init)()
  step = game.step(adversarial=False, mask_smoothing=0.1)
  _, metrics = jax.jit(step)(first, game.first())
  key = jax.random.split(jax.random.fold_in(jax.random.key(0), 0))[1]
  batch = game.prepare(
    jax.random.split(key, 3)[0], game.data.take(game.rows[0])
  )
  s, d = first.players["segmentor"], first.players["discriminator"]
  fake = jax.nn.sigmoid(_train(game.module, s.variables, batch.image).logits)
  real = np.where(batch.mask[:LABELLED] > 0, 0.9, 0.1).astype(np.float32)
  pairs = jnp.concatenate([batch.image[:LABELLED], batch.image])
  logits = _train(game.d, d.variables, pairs, jnp.concatenate([real, fake]))
  probs = special.softmax(np.float64(logits.logits), axis=1)
  real, fake = probs[:LABELLED], probs[LABELLED:]
  label = np.asarray(batch.label[:LABELLED])
  rows = np.arange(LABELLED)

  def of_class(p):
    return -np.log(p[rows, label] / p[rows, :-1].sum(axis=1)).mean()

  expected = {
    "class": of_class(real),
    "real": -np.log(1 - real[:, -1]).mean(),
    "fake": -np.log(fake[:, -1]).mean(),
    "class_predicted": of_class(fake),
  }
  found = {k: float(metrics[f"discriminator_{k}"]) for k in expected}
  assert found == pytest.approx(expected, rel=1e-4)
  total = expected["class"] + 0.5 * sum(expected[k] for k in [*expected][1:])
  assert float(metrics["discriminator_loss"]) == pytest.approx(total, rel=1e-4)


def test_unlabelled_masks_and_labels_do_not_matter(game, first, run):
  """Masks and labels of unlabelled rows: bitwise no influence."""
  rng = np.random.default_rng(1)
  without = ~np.asarray(game.data.has_mask)
  noise = np.asarray(game.data.mask).copy()
  noise[without] = rng.integers(0, 2, noise[without].shape)
  label = np.where(without, rng.integers(0, 2, 8), game.data.label)
  other = dataclasses.replace(
    game.data, mask=jnp.asarray(noise), label=jnp.asarray(label)
  )
  a, _ = run(first, game.first())
  b, _ = run(first, other.take(game.rows))
  assert _same(a, b)
  labelled = dataclasses.replace(other, has_label=jnp.ones(8, bool))
  c, _ = run(first, labelled.take(game.rows))
  assert not _same(
    a.players["discriminator"].params, c.players["discriminator"].params
  )


def test_the_averages_of_both_players_move(game, first, run):
  after, _ = run(first, game.first())
  assert after.averages.keys() == {"segmentor", "discriminator"}
  for name, average in after.averages.items():
    before = first.averages[name]
    assert not _same(before["params"], average["params"])
    assert not _same(before["batch_stats"], average["batch_stats"])


@pytest.mark.slow
def test_one_device_and_two_agree(game):
  states = []
  for count in (1, 2):
    mesh = game.mesh(count)
    run = parallel.compile_train_step(game.step(), mesh)
    state = parallel.compile_init(game.init, mesh)
    data = parallel.replicate(game.data, mesh)
    for _ in range(4):
      state, metrics = run(state, data, game.rows)
    assert len(metrics["loss"].sharding.device_set) == count
    states.append(jax.device_get(state))
  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(a, b, atol=5e-5), *states
  )


def test_ds_average_teaches_the_classes_of_unlabelled_pairs(resident):
  """The logged term against its formula; it adds to the loss of D alone."""
  game = Game(resident, dropout=0.0)
  state = jax.jit(game.init)()
  player = state.players["discriminator"]
  moved = jax.tree.map(lambda x: x * 0.7, player.ema)
  player = dataclasses.replace(player, ema=moved)
  state = dataclasses.replace(
    state, players=state.players | {"discriminator": player}
  )
  agree = step_terms.ClassConsistency(
    loss=adversarial.class_consistency_loss,
    strong_view=lambda key, image: 0.5 * image,
    weight=lambda step: 3.0,
  )
  step = jax.jit(game.step(adversarial=False, class_consistency=agree))
  _, metrics = step(state, game.first())
  of = {
    k.removeprefix("discriminator_"): float(v)
    for k, v in metrics.items()
    if k.startswith("discriminator_")
  }
  key = jax.random.split(jax.random.fold_in(jax.random.key(0), 0))[1]
  batch = game.prepare(
    jax.random.split(key, 3)[0], game.data.take(game.rows[0])
  )
  s = state.players["segmentor"]
  fake = jax.nn.sigmoid(_train(game.module, s.variables, batch.image).logits)
  images = jnp.concatenate(
    [batch.image[:LABELLED], batch.image, 0.5 * batch.image[LABELLED:]]
  )
  masks = jnp.concatenate([batch.mask[:LABELLED], fake, fake[LABELLED:]])
  student = _train(game.d, player.variables, images, masks).logits[-LABELLED:]
  teacher = predict(
    game.d, moved, batch.image[LABELLED:], fake[LABELLED:]
  ).logits
  p, q = (
    special.softmax(np.float64(x[:, :-1]), axis=1) for x in (student, teacher)
  )
  expected = ((p - q) ** 2).sum(axis=1).mean()
  assert of["consistency"] == pytest.approx(expected, rel=1e-3)
  parts = of["class"] + 0.5 * (of["real"] + of["fake"] + of["class_predicted"])
  assert of["loss"] == pytest.approx(parts + 3 * expected, rel=1e-4)
