"""Semi-supervised methods in the training step."""

import dataclasses
import functools

import jax
import numpy as np
import pytest
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
  return game.module.apply(
    player.variables, image, train=True, mutable=["batch_stats"]
  )


def _expit(logits):
  return special.expit(np.asarray(logits, np.float64))


def _replace(state, name, **changes):
  player = dataclasses.replace(state.players[name], **changes)
  return dataclasses.replace(state, players=state.players | {name: player})


def _same(a, b):
  equal = jax.tree.map(lambda x, y: bool(np.array_equal(x, y)), a, b)
  return all(jax.tree.leaves(equal))


@pytest.fixture(scope="module")
def first(game):
  return jax.jit(game.init)()


def test_strong_views_are_offered_the_labelled_rows(game, first):
  """Images and masks of the rows that have masks, as prepared."""

  def theirs(key, image, target, *, labelled):
    return labelled

  method = _method("mean_teacher", view=theirs)
  step = jax.jit(game.step(semi=method, adversarial=False))
  _, metrics = step(first, game.first())
  batch = game.prepared()
  player = first.players["segmentor"]
  student, _ = _train(game, player, batch.image[:LABELLED])
  gap = _expit(student.logits) - np.asarray(batch.mask[:LABELLED])
  assert batch.mask[:LABELLED].any()
  assert float(metrics["consistency"]) == pytest.approx(
    (gap**2).mean(), rel=1e-4
  )


def test_weight_zero_changes_nothing(game, first):
  a, _ = jax.jit(game.step())(first, game.first())
  method = _method("mean_teacher", weight=0.0)
  b, metrics = jax.jit(game.step(semi=method))(first, game.first())
  jax.tree.map(
    functools.partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-6),
    a.players["segmentor"].params,
    b.players["segmentor"].params,
  )
  assert float(metrics["consistency"]) > 0


@pytest.mark.parametrize("teacher", ["averaged", "student"])
def test_the_teacher_predicts_on_the_weak_view(game, first, teacher):
  """The logged term against its formula, on the unlabelled rows alone."""
  player = first.players["segmentor"]
  moved = jax.tree.map(lambda x: x * 0.7, player.ema)
  state = _replace(first, "segmentor", ema=moved)

  def darken(key, image, target, *, labelled):
    return 0.5 * image, target

  method = _method("mean_teacher", view=darken, teacher=teacher)
  step = jax.jit(game.step(adversarial=False, semi=method))
  _, metrics = step(state, game.first())
  image = game.prepared().image[LABELLED:]
  weights = moved if teacher == "averaged" else player.variables
  target = game.module.apply(weights, image, train=False).logits
  student, _ = _train(game, player, 0.5 * image)
  expected = ((_expit(student.logits) - _expit(target)) ** 2).mean()
  assert float(metrics["consistency"]) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("adversarial", [True, False])
def test_strong_views_leave_no_trace_in_the_statistics(
  game, first, adversarial
):
  """They are those of images as they are: of all that S predicts on for D, or
  of the labelled ones. D judges the predictions on images as they are."""

  def blacken(key, image, target, *, labelled):
    return 0.0 * image, target

  method = _method("mean_teacher", view=blacken, weight=0.0)
  step = jax.jit(game.step(semi=method, adversarial=adversarial))
  after, metrics = step(first, game.first())
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
    judged = game.d.apply(
      after.players["discriminator"].variables,
      image,
      jax.nn.sigmoid(output.logits),
      train=False,
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
  return super(Game, game).step(labelled=LABELLED, semi=method)


def test_pseudo_labels_alone_by_hand(game, pseudo_labels):
  """Tversky loss of two labelled rows, cross-entropy of two unlabelled ones."""
  state = jax.jit(super(Game, game).init)()
  after, metrics = jax.jit(pseudo_labels)(state, game.data.take(game.rows[1]))
  batch, player = game.prepared(), state.players["segmentor"]
  output, stats = _train(game, player, batch.image[:LABELLED])
  mask = np.asarray(batch.mask[:LABELLED], np.float64)
  supervised = _overlap_loss(_expit(output.logits), mask).mean()
  weak = batch.image[LABELLED:]
  q = _expit(game.module.apply(player.ema, weak, train=False).logits)
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


def test_unlabelled_masks_do_not_matter(game, pseudo_labels):
  """Masks of unlabelled rows replaced by noise: bitwise the same run."""
  run, rng = jax.jit(pseudo_labels), np.random.default_rng(3)
  mask = np.asarray(game.data.mask).copy()
  mask[4:] = rng.integers(0, 2, mask[4:].shape)
  ends = []
  for data in (game.data, dataclasses.replace(game.data, mask=mask)):
    state = jax.jit(super(Game, game).init)()
    for _ in range(3):
      state, metrics = run(state, data.take(game.rows[1]))
    ends.append((state, metrics))
  assert _same(*ends)


# Cross pseudo supervision: two segmentors.


@pytest.fixture(scope="module")
def crossed(game):
  """The step without D, and a state of two segmentors."""
  step = super(Game, game).step(
    labelled=LABELLED, semi=_method("cross_pseudo_supervision", weight=0.5)
  )

  def init():
    state = game.init(players=["segmentor_b"])
    del state.players["discriminator"]
    return state

  return step, init


def test_cross_pseudo_supervision_by_hand(game, crossed):
  """Each learns the hard decisions of the other, at every pixel."""
  step, init = crossed
  state = jax.jit(init)()
  after, metrics = jax.jit(step)(state, game.data.take(game.rows[1]))
  batch, players = game.prepared(), state.players
  mask = np.asarray(batch.mask[:LABELLED], np.float64)
  image = batch.image[LABELLED:]
  for name, other, prefix in (
    ("segmentor", "segmentor_b", ""),
    ("segmentor_b", "segmentor", "segmentor_b_"),
  ):
    output, _ = _train(game, players[name], batch.image[:LABELLED])
    supervised = _overlap_loss(_expit(output.logits), mask).mean()
    teacher = players[other].variables
    decision = game.module.apply(teacher, image, train=False).logits >= 0
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
  step, init = crossed
  state = jax.jit(init)()
  run = jax.jit(step)
  for _ in range(3):
    a, b = (state.players[n].params for n in ("segmentor", "segmentor_b"))
    kernels = [x["Conv_0"]["kernel"] for x in (a, b)]
    assert np.abs(kernels[0] - kernels[1]).max() > 0.01
    state, _ = run(state, game.data.take(game.rows[1]))


def test_a_run_of_two_segmentors_resumes_bitwise(
  crossed, game, tmp_path, assert_same
):
  step, init = crossed
  mesh = game.mesh()
  run = parallel.compile_train_step(step, mesh)
  data = parallel.replicate(game.data, mesh)
  rows = [np.roll(game.rows[1], i) for i in range(4)]
  state = parallel.compile_init(init, mesh)
  store = checkpoints.Store(tmp_path / "latest")
  for count, row in enumerate(rows, 1):
    state, _ = run(state, data, row)
    if count == 2:
      store.save(state, step=2, meta={})
  store.wait()
  again, _, _ = store.restore(parallel.shapes(init, mesh))
  for row in rows[2:]:
    again, _ = run(again, data, row)
  assert_same(again, state)


def test_d_plays_against_s_alone(game):
  """With D beside two segmentors, only "segmentor" hears it."""
  method = _method("cross_pseudo_supervision")
  step = game.step(semi=method)
  state = jax.jit(functools.partial(game.init, players=["segmentor_b"]))()
  after, metrics = jax.jit(step)(state, game.first())
  assert after.players.keys() == state.players.keys()
  assert "adversarial" in metrics
  assert "segmentor_b_adversarial" not in metrics
