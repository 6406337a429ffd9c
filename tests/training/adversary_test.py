"""The step with two players: who learns from what, in which order."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from apppau_jax.losses import consistency, objectives
from apppau_jax.models.discriminator import Discriminator
from apppau_jax.training import parallel, step_terms, steps
from apppau_jax.training import state as state_lib

D = Discriminator(base_width=2, depth=2, dropout=0.4)
# D's minibatch, then S's; of each the first two rows are labelled.
INDICES = np.array([[0, 3, 4, 6], [1, 2, 5, 7]], np.int32)
LABELLED = 2


def _judge(real, fake, batch):
  return objectives.discriminator_objective(
    real,
    fake,
    label=batch.label,
    has_mask=batch.has_mask,
    has_label=batch.has_label,
    weights=objectives.DiscriminatorWeights(predicted_weight=0.5),
  )


def _against(fake, real, batch, step, form="nonsaturating"):
  return objectives.adversarial_objective(
    fake.logits,
    has_mask=batch.has_mask,
    spec=objectives.Adversarial(form=form, weight=0.5, unlabelled_weight=0.2),
    fake_features=fake.features,
    real_features=real.features,
  )


class Game:
  """A tiny S against a tiny D."""

  def __init__(self, tiny, resident):
    self.tiny = tiny
    known = jnp.array([True, True, True, True, False, False, False, False])
    self.data = dataclasses.replace(
      resident,
      label=jnp.array([0, 1, 1, 0, -1, -1, -1, -1]),
      has_mask=known,
      has_label=known,
      mask=jnp.where(known[:, None, None, None], resident.mask, 0),
    )

  def init(self):
    state = self.tiny.init()
    image = jnp.zeros((1, 16, 16, 1))
    return dataclasses.replace(
      state,
      discriminator=state_lib.init_player(
        D,
        image,
        image,
        key=jax.random.key(7),
        optimizer=self.tiny.optimizer,
      ),
    )

  def step(self, *, against=_against, agree=None, classes=None):
    return steps.make_train_step(
      self.tiny.module,
      objective=self.tiny.objective,
      optimizer=self.tiny.optimizer,
      prepare=self.tiny.prepare,
      ema_decay=0.9,
      seed=0,
      adversary=step_terms.Adversary(
        module=D,
        optimizer=self.tiny.optimizer,
        labelled=LABELLED,
        mask_smoothing=0.05,
        objective=_judge,
        against=against,
        agree=classes,
      ),
      consistency=agree,
    )


@pytest.fixture(scope="module")
def game(make_tiny, resident):
  return Game(make_tiny(), resident)


@pytest.fixture(scope="module")
def first(game):
  return jax.jit(game.init)()


@pytest.fixture(scope="module")
def run(game):
  return jax.jit(game.step())


def _same(a, b):
  equal = jax.tree.map(lambda x, y: bool(np.array_equal(x, y)), a, b)
  return all(jax.tree.leaves(equal))


def test_each_player_learns_from_its_own_minibatch(game, first, run):
  batch = game.data.take(INDICES)
  after, _ = run(first, batch)
  flipped = batch.image.at[1].set(255 - batch.image[1])
  other, _ = run(first, dataclasses.replace(batch, image=flipped))
  assert _same(after.discriminator, other.discriminator)
  assert not _same(after.segmentor.params, other.segmentor.params)

  flipped = batch.image.at[0].set(255 - batch.image[0])
  other, _ = run(first, dataclasses.replace(batch, image=flipped))
  assert not _same(after.discriminator.params, other.discriminator.params)
  # S's own minibatch is the same: what differs came through D.
  assert not _same(after.segmentor.params, other.segmentor.params)


def test_without_the_adversarial_term_s_ignores_d(game, first):
  run = jax.jit(game.step(against=None))
  batch = game.data.take(INDICES)
  after, metrics = run(first, batch)
  flipped = batch.image.at[0].set(255 - batch.image[0])
  other, _ = run(first, dataclasses.replace(batch, image=flipped))
  assert _same(after.segmentor, other.segmentor)
  assert not _same(after.discriminator.params, other.discriminator.params)
  assert "adversarial" not in metrics


def test_s_faces_the_updated_d_in_inference_mode(game, first, run):
  """The logged term against eq. (5), written out here."""
  batch = game.data.take(INDICES)
  after, metrics = run(first, batch)
  key = game.tiny.prepare_key(seed=0, step=0)
  prepared = game.tiny.prepare(key, game.data.take(INDICES[1]))
  output, _ = game.tiny.module.apply(
    {
      "params": first.segmentor.params,
      "batch_stats": first.segmentor.batch_stats,
    },
    prepared.image,
    train=True,
    mutable=["batch_stats"],
  )

  def term(player):
    judged = D.apply(
      {"params": player.params, "batch_stats": player.batch_stats},
      prepared.image,
      jax.nn.sigmoid(output.logits),
      train=False,
    )
    logits = np.asarray(judged.logits, np.float64)
    odds = np.exp(logits - logits.max(axis=1, keepdims=True))
    return -np.log(1 - odds[:, -1] / odds.sum(axis=1))

  each = term(after.discriminator)
  assert float(metrics["adversarial"]) == pytest.approx(each.mean(), rel=1e-5)
  assert each.mean() != pytest.approx(term(first.discriminator).mean(), 1e-4)
  weighted = (0.5 * each[:2].sum() + 0.2 * each[2:].sum()) / 4
  total = float(metrics["segmentation"]) + weighted
  assert float(metrics["loss"]) == pytest.approx(total, rel=1e-5)


def test_ds_loss_is_the_sum_of_its_terms(game, first, run):
  _, metrics = run(first, game.data.take(INDICES))
  of = {k: float(metrics[f"discriminator_{k}"]) for k in ("class", "real",
        "fake", "class_predicted", "loss")}  # fmt: skip
  total = of["class"] + 0.5 * (of["real"] + of["fake"] + of["class_predicted"])
  assert of["loss"] == pytest.approx(total, rel=1e-5)
  assert min(of.values()) > 0


def test_what_is_unknown_does_not_matter(game, first, run):
  """Masks and labels of unlabelled rows: bitwise no influence."""
  rng = np.random.default_rng(1)
  unknown = ~np.asarray(game.data.has_mask)
  noise = np.asarray(game.data.mask).copy()
  noise[unknown] = rng.integers(0, 2, noise[unknown].shape)
  label = np.where(unknown, rng.integers(0, 2, 8), game.data.label)
  other = dataclasses.replace(
    game.data, mask=jnp.asarray(noise), label=jnp.asarray(label)
  )
  a, _ = run(first, game.data.take(INDICES))
  b, _ = run(first, other.take(INDICES))
  assert _same(a, b)
  known = dataclasses.replace(other, has_label=jnp.ones(8, bool))
  c, _ = run(first, known.take(INDICES))
  assert not _same(a.discriminator.params, c.discriminator.params)


def test_both_players_averages_move(game, first, run):
  after, _ = run(first, game.data.take(INDICES))
  for player in ("segmentor", "discriminator"):
    before = first.averages[player]
    assert not _same(before["params"], after.averages[player]["params"])
    assert not _same(
      before["batch_stats"], after.averages[player]["batch_stats"]
    )


def test_one_device_and_two_agree(game):
  states = []
  for count in (1, 2):
    mesh = game.tiny.mesh(count)
    run = parallel.compile_train_step(game.step(), mesh)
    state = parallel.compile_init(game.init, mesh)
    data = parallel.replicate(game.data, mesh)
    for _ in range(4):
      state, metrics = run(state, data, INDICES)
    assert len(metrics["loss"].sharding.device_set) == count
    states.append(jax.device_get(state))
  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(a, b, atol=5e-5), *states
  )


def _agree(*, weight, disturb, averaged=True):
  return step_terms.Consistency(
    labelled=LABELLED,
    averaged_teacher=averaged,
    disturb=disturb,
    objective=lambda logits, prob, step: objectives.consistency_objective(
      logits, prob, loss_fn=consistency.mean_teacher_loss, weight=weight
    ),
  )


def _untouched(key, image, prob, known):
  return image, prob


def test_strong_views_are_offered_the_labelled_rows(game, first):
  """Images and masks whose masks exist, as prepared, and no others."""

  def theirs(key, image, prob, known):
    return known

  step = jax.jit(
    game.step(agree=_agree(weight=1.0, disturb=theirs), against=None)
  )
  _, metrics = step(first, game.data.take(INDICES))
  key = game.tiny.prepare_key(seed=0, step=0)
  batch = game.tiny.prepare(key, game.data.take(INDICES[1]))
  student, _ = game.tiny.module.apply(
    {
      "params": first.segmentor.params,
      "batch_stats": first.segmentor.batch_stats,
    },
    batch.image[:LABELLED],
    train=True,
    mutable=["batch_stats"],
  )
  p = 1 / (1 + np.exp(-np.asarray(student.logits, np.float64)))
  expected = ((p - np.asarray(batch.mask[:LABELLED])) ** 2).mean()
  assert batch.mask[:LABELLED].any()
  assert float(metrics["consistency"]) == pytest.approx(expected, rel=1e-4)


def test_consistency_of_weight_zero_changes_nothing(game, first):
  batch = game.data.take(INDICES)
  agree = _agree(weight=0.0, disturb=_untouched)
  a, _ = jax.jit(game.step())(first, batch)
  b, metrics = jax.jit(game.step(agree=agree))(first, batch)
  jax.tree.map(
    functools.partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-6),
    a.segmentor.params,
    b.segmentor.params,
  )
  assert float(metrics["consistency"]) > 0


def test_the_averaged_weights_teach_on_the_weak_view(game, first):
  """The logged term against its formula, on the unlabelled rows alone."""
  moved = jax.tree.map(lambda x: x * 0.7, first.segmentor.ema)
  state = dataclasses.replace(
    first, segmentor=dataclasses.replace(first.segmentor, ema=moved)
  )

  def darken(key, image, prob, known):
    return 0.5 * image, prob

  agree = _agree(weight=1.0, disturb=darken)
  step = jax.jit(game.step(against=None, agree=agree))
  _, metrics = step(state, game.data.take(INDICES))
  key = game.tiny.prepare_key(seed=0, step=0)
  image = game.tiny.prepare(key, game.data.take(INDICES[1])).image
  net = game.tiny.module
  teacher = net.apply(moved, image[LABELLED:], train=False).logits
  student, _ = net.apply(
    {
      "params": state.segmentor.params,
      "batch_stats": state.segmentor.batch_stats,
    },
    0.5 * image[LABELLED:],
    train=True,
    mutable=["batch_stats"],
  )
  p = 1 / (1 + np.exp(-np.asarray(student.logits, np.float64)))
  q = 1 / (1 + np.exp(-np.asarray(teacher, np.float64)))
  expected = ((p - q) ** 2).mean()
  assert float(metrics["consistency"]) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("heard", [True, False], ids=["against", "beside"])
def test_strong_views_leave_no_trace_in_the_statistics(game, first, heard):
  """S is used with those of images as they are: all, or the labelled ones."""

  def blacken(key, image, prob, known):
    return 0.0 * image, prob

  agree = _agree(weight=1.0, disturb=blacken)
  step = (
    game.step(agree=agree) if heard else game.step(agree=agree, against=None)
  )
  after, _ = jax.jit(step)(first, game.data.take(INDICES))
  key = game.tiny.prepare_key(seed=0, step=0)
  image = game.tiny.prepare(key, game.data.take(INDICES[1])).image
  _, expected = game.tiny.module.apply(
    {
      "params": first.segmentor.params,
      "batch_stats": first.segmentor.batch_stats,
    },
    image if heard else image[:LABELLED],
    train=True,
    mutable=["batch_stats"],
  )
  jax.tree.map(
    functools.partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-6),
    after.segmentor.batch_stats,
    expected["batch_stats"],
  )


def test_d_is_asked_about_weak_views(game, first):
  """Whatever the strong views are, eq. (5) is of images that D knows."""

  def blacken(key, image, prob, known):
    return 0.0 * image, prob

  step = jax.jit(game.step(agree=_agree(weight=0.0, disturb=blacken)))
  after, metrics = step(first, game.data.take(INDICES))
  image = game.tiny.prepare(
    game.tiny.prepare_key(seed=0, step=0), game.data.take(INDICES[1])
  ).image
  output, _ = game.tiny.module.apply(
    {
      "params": first.segmentor.params,
      "batch_stats": first.segmentor.batch_stats,
    },
    image,
    train=True,
    mutable=["batch_stats"],
  )
  player = after.discriminator
  judged = D.apply(
    {"params": player.params, "batch_stats": player.batch_stats},
    image,
    jax.nn.sigmoid(output.logits),
    train=False,
  )
  odds = np.exp(np.asarray(judged.logits, np.float64))
  expected = -np.log(1 - odds[:, -1] / odds.sum(axis=1)).mean()
  assert float(metrics["adversarial"]) == pytest.approx(expected, rel=1e-5)


def test_ds_average_teaches_the_classes_of_unlabelled_pairs(game, first):
  """The logged term against its formula; nothing else of D's step changes."""
  moved = jax.tree.map(lambda x: x * 0.7, first.discriminator.ema)
  state = dataclasses.replace(
    first, discriminator=dataclasses.replace(first.discriminator, ema=moved)
  )

  def logged(logits, teacher, step):
    term, named = objectives.consistency_objective(
      logits,
      teacher,
      loss_fn=consistency.class_consistency_loss,
      weight=3.0,
    )
    return term, named | {"student": logits, "teacher": teacher}

  classes = step_terms.ClassConsistency(
    disturb=lambda key, image: 0.5 * image, objective=logged
  )
  batch = game.data.take(INDICES)
  _, metrics = jax.jit(game.step(classes=classes))(state, batch)
  of = {
    k.removeprefix("discriminator_"): np.asarray(v, np.float64)
    for k, v in metrics.items()
    if k.startswith("discriminator_")
  }
  p, q = (
    np.exp(of[k][:, :2]) / np.exp(of[k][:, :2]).sum(axis=1, keepdims=True)
    for k in ("student", "teacher")
  )
  expected = ((p - q) ** 2).sum(axis=1).mean()
  assert of["consistency"] == pytest.approx(expected, rel=1e-4)
  parts = of["class"] + 0.5 * (of["real"] + of["fake"] + of["class_predicted"])
  assert of["loss"] == pytest.approx(parts + 3 * expected, rel=1e-5)

  key = jax.random.split(jax.random.fold_in(jax.random.key(0), 0))[1]
  prepared = game.tiny.prepare(
    jax.random.split(key, 3)[0], game.data.take(INDICES[0])
  )
  variables = {
    "params": state.segmentor.params,
    "batch_stats": state.segmentor.batch_stats,
  }
  output, _ = game.tiny.module.apply(
    variables, prepared.image, train=True, mutable=["batch_stats"]
  )
  taught = D.apply(
    moved,
    prepared.image[LABELLED:],
    jax.nn.sigmoid(output.logits)[LABELLED:],
    train=False,
  )
  np.testing.assert_allclose(of["teacher"], taught.logits, atol=1e-5)


def test_real_masks_are_smoothed(game):
  adversary = step_terms.Adversary(
    module=D,
    optimizer=game.tiny.optimizer,
    labelled=LABELLED,
    mask_smoothing=0.1,
    objective=_judge,
    against=None,
  )
  image, mask = adversary.real(game.data)
  assert image.shape[0] == mask.shape[0] == LABELLED
  assert sorted(np.unique(mask)) == pytest.approx([0.1, 0.9])
