"""Our networks, losses and steps against PyTorch's, written independently."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from apppau_jax.batch import Batch
from apppau_jax.losses import (
  adversarial,
  cross_entropy_tversky,
  deep_supervision,
  kl_tversky,
  objectives,
)
from apppau_jax.models import discriminator, segmentor
from apppau_jax.training import state as state_lib
from apppau_jax.training import step_terms, steps

torch = pytest.importorskip("torch", reason="the extra `bench` has it")

from benchmarks.peers import carry, losses, networks  # noqa: E402
from benchmarks.peers import steps as peer_steps  # noqa: E402

B, SIDE, LABELLED = 4, 32, 2
DEPTH = 2  # the levels are loops: two are enough, and compile in seconds
OURS = {
  "kl_tversky": kl_tversky.kl_tversky_loss,
  "cross_entropy_tversky": cross_entropy_tversky.cross_entropy_tversky_loss,
}


@pytest.fixture(scope="module")
def pairs():
  """Images in [0, 1] and masks, `[b, h, w, 1]`; labels."""
  rng = np.random.default_rng(0)
  image = rng.random((B, SIDE, SIDE, 1)).astype(np.float32)
  yx = np.mgrid[:SIDE, :SIDE]
  centres = rng.uniform(10, 22, (B, 2, 1, 1))
  inside = ((yx - centres) ** 2).sum(1) < 80
  return image, inside[..., None].astype(np.float32), np.array([0, 1, 1, 0])


def _torch(array):
  return torch.from_numpy(np.moveaxis(array, -1, 1).copy())


def _close(ours, theirs, *, tolerance):
  """Of our variables and a torch state dict, relative to each leaf's size."""
  ours = carry.state_dict(ours)
  for name, value in ours.items():
    size = max(1.0, float(value.abs().max()))
    np.testing.assert_allclose(
      value / size, theirs[name] / size, atol=tolerance, err_msg=name
    )


def _gradients(module):
  return {name: p.grad for name, p in module.named_parameters()}


def _shaken(variables):
  """Random weights everywhere: fresh ones hide biases and scales."""
  leaves, tree = jax.tree.flatten(variables)
  rng = np.random.default_rng(1)
  moved = [
    np.asarray(x) + rng.uniform(0.0, 0.2, x.shape).astype(np.float32)
    for x in leaves
  ]
  return jax.tree.unflatten(tree, moved)


@pytest.mark.parametrize(
  ("preset", "loss"),
  [("unet", "cross_entropy_tversky"), ("ppau_unet", "kl_tversky")],
)
def test_segmentor(preset, loss, pairs):
  image, mask, _ = pairs
  ours = segmentor.from_preset(preset, base_width=2, depth=DEPTH)

  @jax.jit
  def outputs(variables):
    def train(params):
      output, stats = ours.apply(
        {**variables, "params": params},
        image,
        train=True,
        mutable=["batch_stats"],
      )
      value = deep_supervision.deep_supervision_loss(
        output.side_logits, mask, loss_fn=OURS[loss]
      ).mean()
      return value, (output.side_logits, stats)

    (value, (sides, stats)), grads = jax.value_and_grad(train, has_aux=True)(
      variables["params"]
    )
    seen = ours.apply(variables, image, train=False)
    return value, sides, stats, grads, seen.logits

  variables = _shaken(
    jax.jit(functools.partial(ours.init, train=False))(
      jax.random.key(0), jnp.asarray(image)
    )
  )
  value, sides, stats, grads, seen = jax.device_get(outputs(variables))
  theirs = networks.Segmentor(
    base_width=2, depth=DEPTH, **networks.PRESETS[preset]
  )
  carry.load(theirs, variables).eval()
  with torch.no_grad():
    np.testing.assert_allclose(
      _nhwc(theirs(_torch(image))[-1]), seen, atol=1e-5 * np.abs(seen).max()
    )
  theirs.train()
  found = theirs(_torch(image))
  assert len(found) == len(sides) == (DEPTH if preset == "ppau_unet" else 1)
  for a, b in zip(sides, found):
    np.testing.assert_allclose(a, _nhwc(b), atol=1e-5 * np.abs(a).max())
  total = losses.deeply_supervised(
    found, _torch(mask), loss=losses.LOSSES[loss]
  ).mean()
  total.backward()
  assert float(total.detach()) == pytest.approx(float(value), rel=1e-5)
  _close({"params": grads}, _gradients(theirs), tolerance=1e-4)
  means = {k: v for k, v in theirs.state_dict().items() if "var" not in k}
  _close({"params": {}, **_means(stats)}, means, tolerance=1e-5)


def _nhwc(tensor):
  return np.moveaxis(tensor.detach().numpy(), 1, -1)


def _means(stats):
  """Running means; torch's running variance divides by n - 1, ours by n."""

  def keep(tree):
    if "mean" in tree:
      return {"mean": tree["mean"]}
    return {k: keep(v) for k, v in tree.items()}

  return {"batch_stats": keep(stats["batch_stats"])}


def test_discriminator(pairs):
  image, mask, label = pairs
  ours = discriminator.Discriminator(base_width=8, depth=DEPTH, dropout=0.0)

  @jax.jit
  def outputs(variables):
    def loss(params):
      output, _ = ours.apply(
        {**variables, "params": params},
        image,
        mask,
        train=True,
        mutable=["batch_stats"],
      )
      class_loss = adversarial.class_loss(output.logits, label)
      spoken = adversarial.nonsaturating_loss(output.logits)
      return (class_loss + spoken).mean(), output.logits

    value, grads = jax.value_and_grad(loss, has_aux=True)(variables["params"])
    return *value, grads

  variables = _shaken(
    jax.jit(functools.partial(ours.init, train=False))(
      jax.random.key(0), jnp.asarray(image), jnp.asarray(mask)
    )
  )
  value, logits, grads = jax.device_get(outputs(variables))
  theirs = networks.Discriminator(base_width=8, depth=DEPTH, dropout=0.0)
  found = carry.load(theirs, variables).train()(_torch(image), _torch(mask))
  np.testing.assert_allclose(
    logits, found.detach(), atol=1e-5 * np.abs(logits).max()
  )
  total = torch.nn.functional.cross_entropy(
    found[:, :-1], torch.from_numpy(label)
  )
  total = total + losses.adversarial(found).mean()
  total.backward()
  assert float(total.detach()) == pytest.approx(float(value), rel=1e-5)
  _close({"params": grads}, _gradients(theirs), tolerance=1e-4)


@pytest.mark.slow
def test_a_round_of_both_players(pairs):
  """Algorithm 1 with plain gradient descent: what moved, and by how much."""
  rate = 0.1
  s = segmentor.Segmentor(base_width=2, depth=DEPTH)
  d = discriminator.Discriminator(base_width=2, depth=DEPTH, dropout=0.0)
  batch, state = _batch(*pairs), _state(s, d, optax.sgd(rate), *pairs[:2])
  step = steps.TrainStep(
    segmentor=s,
    objective=functools.partial(
      objectives.segmentation_objective, loss_fn=kl_tversky.kl_tversky_loss
    ),
    optimizer=optax.sgd(rate),
    prepare=lambda key, batch: batch,
    ema_decay=0.0,
    labelled=LABELLED,
    discriminator=_discriminator(d, optax.sgd(rate)),
  )
  after, metrics = jax.device_get(jax.jit(step)(state, batch))

  def sgd(module):
    return torch.optim.SGD(module.parameters(), lr=rate)

  their_s = carry.load(
    networks.Segmentor(base_width=2, depth=DEPTH), state.averages["segmentor"]
  )
  their_d = carry.load(
    networks.Discriminator(base_width=2, depth=DEPTH, dropout=0.0),
    state.averages["discriminator"],
  )
  loss_d, loss_s = peer_steps.TwoPlayers(
    segmentor=their_s,
    discriminator=their_d,
    optimizer=sgd(their_s),
    discriminator_optimizer=sgd(their_d),
    loss=losses.kl_tversky,
    labelled=LABELLED,
    adversarial_weight=0.5,
  )(*_minibatches(batch))
  assert float(loss_d) == pytest.approx(metrics["discriminator_loss"], rel=1e-5)
  assert float(loss_s) == pytest.approx(metrics["loss"], rel=1e-5)
  for player, theirs in (
    (after.players["discriminator"], their_d),
    (after.players["segmentor"], their_s),
  ):
    moved = {"params": player.params, **_means(player.ema)}
    _close(moved, theirs.state_dict(), tolerance=1e-4 * rate)


def _batch(image, mask, label):
  """D's minibatch and S's, of the same images in two orders."""
  has = np.arange(B) < LABELLED
  one = Batch(
    image=image,
    mask=mask,
    label=label.astype(np.int32),
    has_mask=has,
    has_label=has,
  )
  two = dataclasses.replace(one, image=image[::-1], mask=mask[::-1])
  return jax.tree.map(lambda a, b: jnp.stack([a, b]), one, two)


def _minibatches(batch):
  for i in (0, 1):
    one = jax.tree.map(lambda x, i=i: np.array(x[i]), batch)
    label = torch.from_numpy(one.label.astype(np.int64))
    yield _torch(one.image), _torch(one.mask), label


def _state(s, d, optimizer, image, mask):
  def init():
    start = functools.partial(state_lib.init_player, optimizer=optimizer)
    key = jax.random.key(0)
    image_, mask_ = jnp.asarray(image), jnp.asarray(mask)
    players = {
      "segmentor": start(s, image_, key=key),
      "discriminator": start(d, image_, mask_, key=key),
    }
    return state_lib.TrainState(step=jnp.int32(0), players=players)

  return jax.jit(init)()


def _discriminator(module, optimizer):
  return step_terms.Discriminator(
    module=module,
    optimizer=optimizer,
    objective=functools.partial(
      objectives.discriminator_objective, conditional=False
    ),
    adversarial=functools.partial(
      objectives.adversarial_objective, weight=0.5, unlabelled_weight=0.5
    ),
    adversarial_ramp=lambda step: 1.0,
  )
