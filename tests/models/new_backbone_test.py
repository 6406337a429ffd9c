"""A new segmentor needs one class and one line in a registry.

docs/how_to/add_network.md quotes the class. Nothing trains.
"""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from apppau_jax import models
from apppau_jax.models import blocks, network


class PlainNet(network.Network):
  """An encoder and a decoder of one level, without skip connection."""

  base_width: int = 32
  num_structures: int = 1
  norm: str = "batch"
  dtype: jnp.dtype = jnp.float32
  remat: bool = False
  operations: blocks.Operations = blocks.XLA
  progressive: bool = False

  @nn.compact
  def __call__(self, image, *, train):
    layers = blocks.Layers(self.dtype, self.norm, self.operations)
    x = blocks.ConvBlock(self.base_width, 2, layers)(image, train=train)
    x = blocks.ConvBlock(2 * self.base_width, 2, layers)(
      self.operations.pool(x), train=train
    )
    x = blocks.Up(self.base_width, layers)(x, train=train)
    logits = layers.conv(self.num_structures, (1, 1))(x).astype(jnp.float32)
    return network.SegmentorOutput(
      logits=logits, side_logits=(logits,), attention={}
    )


@pytest.fixture
def net(monkeypatch):
  monkeypatch.setitem(models.PRESETS, "plain_net", PlainNet)
  return models.from_preset("plain_net", base_width=4, num_structures=2)


def test_a_registered_network_predicts_and_has_gradients(net):
  image = jax.random.normal(jax.random.key(0), (2, 16, 16, 1))
  init = jax.jit(functools.partial(net.init, train=True))
  variables = init(jax.random.key(1), image)

  def loss(params):
    output, _ = net.apply(
      {**variables, "params": params},
      image,
      train=True,
      mutable=["batch_stats"],
    )
    assert output.logits.shape == (2, 16, 16, 2)
    return (output.logits**2).mean()

  gradients = jax.jit(jax.grad(loss))(variables["params"])
  kernels = [g for g in jax.tree.leaves(gradients) if g.ndim == 4]
  # Two blocks of two convolutions, the upsampling and the head.
  assert len(kernels) == 6
  assert all(np.abs(g).max() > 0 for g in kernels)
