"""Semi-supervised methods in the training step."""

import dataclasses
import functools

import jax
import numpy as np
import pytest
from fixtures import tiny_network
from fixtures.tiny_network import Game
from scipy import special

from apppau_jax import semi
from apppau_jax.training import checkpoints, parallel, step_terms

LABELLED = Game.labelled


def _method(name, *, weight=1.0, view=None, **settings):
  def unchanged(key, image, target, *, labelled):
    return image, target

  return step_terms.SemiSupervision(
    method=semi.METHODS[name](strong_view=view or unchanged, **settings),
    weight=lambda step: weight,
  )


def _train(game, player, image):
  return tiny_network.train(game.module, player.variables, image)


def _expit(logits):
  return special.expit(np.asarray(logits, np.float64))


def _replace(state, name, **changes):
  player = dataclasses.replace(state.players[name], **changes)
  return dataclasses.replace(state, players=state.players | {name: player})


def _views_key():
  """The key of the strong views in the first step, see `TrainStep`."""
  key = jax.random.fold_in(jax.random.key(0), 0)
  return jax.random.split(jax.random.split(key)[0])[1]


def _same(a, b):
  equal = jax.tree.map(lambda x, y: bool(np.array_equal(x, y)), a, b)
  return all(jax.tree.leaves(equal))


def _blacken(key, image, target, *, labelled):
  return 0.0 * image, target


@pytest.fixture(scope="module")
def first(game):
  return jax.jit(game.init)()


@pytest.fixture(scope="module")
def s_alone(first):
  """The same state without D, whose steps compile in half the time."""
  players = {"segmentor": first.players["segmentor"]}
  return dataclasses.replace(first, players=players)


@pytest.fixture(scope="module")
def mine(game):
  """The examples of the first step of S alone."""
  return game.data.take(game.rows[1])


@pytest.fixture(scope="module")
def blackened(game, first):
  """The first step beside D with black strong views of weight 0."""
  method = _method("mean_teacher", view=_blacken, weight=0.0)
  return jax.jit(game.step(semi=method))(first, game.first())


def test_strong_views_are_offered_the_labelled_rows(game, s_alone, mine):
  """Images and masks of the rows that have masks, as prepared."""

  def theirs(key, image, target, *, labelled):
    return labelled

  method = _method("mean_teacher", view=theirs)
  _, metrics = jax.jit(game.alone(semi=method))(s_alone, mine)
  batch = game.prepared()
  player = s_alone.players["segmentor"]
  student, _ = _train(game, player, batch.image[:LABELLED])
  gap = _expit(student.logits) - np.asarray(batch.mask[:LABELLED])
  assert batch.mask[:LABELLED].any()
  assert float(metrics["consistency"]) == pytest.approx(
    (gap**2).mean(), rel=1e-4
  )


def test_weight_zero_changes_nothing(game, first, blackened):
  a, _ = jax.jit(game.step())(first, game.first())
  b, metrics = blackened
  jax.tree.map(
    functools.partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-6),
    a.players["segmentor"].params,
    b.players["segmentor"].params,
  )
  assert float(metrics["consistency"]) > 0


@pytest.mark.parametrize("teacher", ["averaged", "student"])
def test_the_teacher_predicts_on_the_weak_view(game, s_alone, mine, teacher):
  """The logged term against its formula, on the unlabelled rows alone."""
  player = s_alone.players["segmentor"]
  moved = jax.tree.map(lambda x: np.asarray(x) * np.float32(0.7), player.ema)
  state = _replace(s_alone, "segmentor", ema=moved)

  def darken(key, image, target, *, labelled):
    return 0.5 * image, target

  method = _method("mean_teacher", view=darken, teacher=teacher)
  _, metrics = jax.jit(game.alone(semi=method))(state, mine)
  image = game.prepared().image[LABELLED:]
  weights = moved if teacher == "averaged" else player.variables
  target = tiny_network.predict(game.module, weights, image).logits
  student, _ = _train(game, player, 0.5 * image)
  expected = ((_expit(student.logits) - _expit(target)) ** 2).mean()
  assert float(metrics["consistency"]) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("adversarial", [True, False])
def test_strong_views_leave_no_trace_in_the_statistics(
  request, game, first, adversarial
):
  """They are those of images as they are: of all that S predicts on for D, or
  of the labelled ones. D judges the predictions on images as they are."""
  if adversarial:
    after, metrics = request.getfixturevalue("blackened")
  else:
    method = _method("mean_teacher", view=_blacken, weight=0.0)
    after, _ = jax.jit(game.alone(semi=method))(
      request.getfixturevalue("s_alone"), request.getfixturevalue("mine")
    )
  image = game.prepared().image
  output, expected = _train(
    game,
    first.players["segmentor"],
    image if adversarial else image[:LABELLED],
  )
  jax.tree.map(
    functools.partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-6),
    after.players["segmentor"].batch_stats,
    expected["batch_stats"],
  )
  if adversarial:
    judged = tiny_network.predict(
      game.d,
      after.players["discriminator"].variables,
      image,
      jax.nn.sigmoid(output.logits),
    )
    fake = special.softmax(np.float64(judged.logits), axis=1)[:, -1]
    assert float(metrics["adversarial"]) == pytest.approx(
      -np.log(1 - fake).mean(), rel=1e-5
    )


# S alone with pseudo-labels, the baseline `no_discriminator`.


def _overlap_loss(prob, mask):
  """The loss of `tiny`, Tversky with weights 0.3, 0.7 and smoothing 1."""
  tp, fp, fn = (
    x.sum(axis=(1, 2, 3))
    for x in (prob * mask, prob * (1 - mask), (1 - prob) * mask)
  )
  return 1 - (tp + 1) / (tp + 0.3 * fp + 0.7 * fn + 1)


@pytest.fixture(scope="module")
def pseudo_labels(game):
  def darken(key, image, target, *, labelled):
    return 0.8 * image, target

  method = _method("pseudo_label", view=darken, weight=0.5, threshold=0.52)
  return jax.jit(game.alone(semi=method))


def test_pseudo_labels_alone_by_hand(game, s_alone, mine, pseudo_labels):
  """Tversky loss of two labelled rows, cross-entropy of two unlabelled ones."""
  after, metrics = pseudo_labels(s_alone, mine)
  batch, player = game.prepared(), s_alone.players["segmentor"]
  output, stats = _train(game, player, batch.image[:LABELLED])
  mask = np.asarray(batch.mask[:LABELLED], np.float64)
  supervised = _overlap_loss(_expit(output.logits), mask).mean()
  weak = batch.image[LABELLED:]
  q = _expit(tiny_network.predict(game.module, player.ema, weak).logits)
  p = _expit(_train(game, player, 0.8 * weak)[0].logits)
  confident = np.maximum(q, 1 - q) >= 0.52
  assert 0.1 < confident.mean() < 0.9
  each = -np.log(np.where(q >= 0.5, p, 1 - p))
  unlabelled = (each * confident).mean()
  assert float(metrics["segmentation"]) == pytest.approx(supervised, rel=1e-4)
  assert float(metrics["consistency"]) == pytest.approx(unlabelled, rel=1e-4)
  assert float(metrics["loss"]) == pytest.approx(
    supervised + 0.5 * unlabelled, rel=1e-4
  )
  assert after.players.keys() == {"segmentor"}
  jax.tree.map(
    functools.partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-6),
    after.players["segmentor"].batch_stats,
    stats["batch_stats"],
  )


def test_unlabelled_masks_do_not_matter(game, s_alone, pseudo_labels):
  """Masks of unlabelled rows replaced by noise: bitwise the same run."""
  rng = np.random.default_rng(3)
  mask = np.asarray(game.data.mask).copy()
  mask[4:] = rng.integers(0, 2, mask[4:].shape)
  ends = []
  for data in (game.data, dataclasses.replace(game.data, mask=mask)):
    state = s_alone
    for _ in range(3):
      state, metrics = pseudo_labels(state, data.take(game.rows[1]))
    ends.append((state, metrics))
  assert _same(*ends)


def test_unimatch_by_hand(game, s_alone, mine):
  """A quarter of each strong view and half of the weak one, which this network
  has no features to drop from."""

  def darken(key, image, target, *, labelled):
    return jax.random.uniform(key) * image, target

  method = _method("unimatch", view=darken, threshold=0.52)
  _, metrics = jax.jit(game.alone(semi=method))(s_alone, mine)
  player, weak = s_alone.players["segmentor"], game.prepared().image[LABELLED:]
  q = _expit(tiny_network.predict(game.module, player.ema, weak).logits)

  def term(image):
    p = _expit(_train(game, player, image)[0].logits)
    each = -np.log(np.where(q >= 0.5, p, 1 - p))
    return (each * (np.maximum(q, 1 - q) >= 0.52)).mean()

  dark = [jax.random.uniform(k) for k in jax.random.split(_views_key(), 3)]
  assert dark[0] != dark[1]
  expected = (term(dark[0] * weak) + term(dark[1] * weak)) / 4 + term(weak) / 2
  assert float(metrics["consistency"]) == pytest.approx(expected, rel=1e-4)


def test_the_uncertain_teacher_by_hand(game, s_alone, mine):
  """Its certain pixels and their targets go through the strong view alike."""

  def shift(key, image, target, *, labelled):
    assert labelled[1].shape[-1] == target.shape[-1] == 2
    return image, target[:, ::-1]

  method = _method("uncertainty_mean_teacher", view=shift)
  _, metrics = jax.jit(game.alone(semi=method))(s_alone, mine)
  player, weak = s_alone.players["segmentor"], game.prepared().image[LABELLED:]
  noise = jax.random.truncated_normal(
    jax.random.split(_views_key())[1], -2.0, 2.0, (4, *weak.shape)
  )
  copies = [weak + 0.1 * each for each in noise]

  def prob(image):
    return _expit(tiny_network.predict(game.module, player.ema, image).logits)

  mean = np.mean([prob(image) for image in copies], axis=0)
  entropy = special.entr(mean) + special.entr(1 - mean)
  certain = (entropy < 0.75 * np.log(2))[:, ::-1]
  gap = _expit(_train(game, player, weak)[0].logits) - prob(weak)[:, ::-1]
  count = np.maximum(certain.sum(axis=(1, 2, 3)), 1)
  expected = ((gap**2 * certain).sum(axis=(1, 2, 3)) / count).mean()
  assert float(metrics["consistency"]) == pytest.approx(expected, rel=1e-4)


# Cross pseudo supervision: two segmentors.


@pytest.fixture(scope="module")
def crossed(game):
  """The program of a step without D, and a state of two segmentors."""
  step = game.alone(semi=_method("cross_pseudo_supervision", weight=0.5))

  def init():
    state = game.init(players=["segmentor_b"])
    del state.players["discriminator"]
    return state

  mesh = game.mesh()
  data = parallel.replicate(game.data, mesh)
  run = parallel.compile_train_step(step, mesh)
  first = jax.device_get(parallel.compile_init(init, mesh))
  shapes = parallel.shapes(init, mesh)
  return (
    lambda state, rows: run(state, data, rows),
    lambda: parallel.replicate(first, mesh),  # for a step donates its state
    shapes,
  )


def test_cross_pseudo_supervision_by_hand(game, crossed):
  """Each learns the hard decisions of the other, at every pixel."""
  run, init, _ = crossed
  batch, players = game.prepared(), init().players
  after, metrics = run(init(), game.rows[1])
  mask = np.asarray(batch.mask[:LABELLED], np.float64)
  image = batch.image[LABELLED:]
  for name, other, prefix in (
    ("segmentor", "segmentor_b", ""),
    ("segmentor_b", "segmentor", "segmentor_b_"),
  ):
    output, _ = _train(game, players[name], batch.image[:LABELLED])
    supervised = _overlap_loss(_expit(output.logits), mask).mean()
    teacher = players[other].variables
    logits = tiny_network.predict(game.module, teacher, image).logits
    decision = np.asarray(logits) >= 0
    assert 0 < np.mean(decision) < 1
    p = _expit(_train(game, players[name], image)[0].logits)
    crossed_term = -np.log(np.where(decision, p, 1 - p)).mean()
    found = {
      key: float(metrics[f"{prefix}{key}"])
      for key in ("segmentation", "consistency", "loss")
    }
    assert found == pytest.approx(
      {
        "segmentation": supervised,
        "consistency": crossed_term,
        "loss": supervised + 0.5 * crossed_term,
      },
      rel=1e-4,
    )
    assert not _same(after.players[name].params, players[name].params)
    assert not _same(after.averages[name], players[name].ema)


def test_both_start_and_stay_different(crossed, game):
  run, init, _ = crossed
  state = init()
  for _ in range(3):
    a, b = (state.players[n].params for n in ("segmentor", "segmentor_b"))
    kernels = [np.asarray(x["Conv_0"]["kernel"]) for x in (a, b)]
    assert np.abs(kernels[0] - kernels[1]).max() > 0.01
    state, _ = run(state, game.rows[1])


def test_a_run_of_two_segmentors_resumes_bitwise(
  crossed, game, tmp_path, assert_same
):
  run, init, shapes = crossed
  rows = [np.roll(game.rows[1], i) for i in range(4)]
  state = init()
  store = checkpoints.Store(tmp_path / "latest")
  for count, row in enumerate(rows, 1):
    state, _ = run(state, row)
    if count == 2:
      store.save(state, step=2, meta={})
  store.wait()
  again, _, _ = store.restore(shapes)
  for row in rows[2:]:
    again, _ = run(again, row)
  assert_same(again, state)


def test_d_plays_against_s_alone(game):
  """With D beside two segmentors, only "segmentor" hears it."""
  method = _method("cross_pseudo_supervision")
  step = game.step(semi=method)
  init = functools.partial(game.init, players=["segmentor_b"])
  state = jax.eval_shape(init)
  after, metrics = jax.eval_shape(step, state, game.first())
  assert after.players.keys() == state.players.keys()
  assert "adversarial" in metrics
  assert "segmentor_b_adversarial" not in metrics
