"""The initial parameters that a network draws."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from scipy import stats

from apppau_jax.models import discriminator, network, segmentor
from apppau_jax.training import state as state_lib

IMAGE = jnp.zeros((1, 8, 8, 1))


def test_kernels_drawn_together_are_he_normals():
  """Against SciPy's truncated normal, and Flax's own for the same shapes."""
  shapes = {"a": (3, 3, 16, 32), "b": (1, 1, 64, 32), "c": (4, 4, 8, 24)}
  he_normal = nn.initializers.he_normal()
  params = {
    name: {"kernel": he_normal(jax.random.key(i), s), "bias": jnp.full(3, 7.0)}
    for i, (name, s) in enumerate(shapes.items())
  }
  params["dense"] = {"kernel": jnp.ones((5, 2))}
  drawn = network.draw_kernels(params, key=jax.random.key(9))
  for name, shape in shapes.items():
    kernel = np.asarray(drawn[name]["kernel"])
    assert kernel.shape == shape
    sd = np.sqrt(2 / np.prod(shape[:-1]))
    truncated = stats.truncnorm(-2, 2)
    scaled = kernel.ravel() / sd * truncated.std()
    assert stats.kstest(scaled, truncated.cdf).pvalue > 0.01
    of_flax = np.asarray(params[name]["kernel"]).std()
    assert kernel.std() == pytest.approx(of_flax, rel=0.06)
    np.testing.assert_array_equal(drawn[name]["bias"], 7.0)
  np.testing.assert_array_equal(drawn["dense"]["kernel"], 1.0)
  first, second = (np.ravel(drawn[n]["kernel"])[:2048] for n in "ab")
  assert abs(np.corrcoef(first, second)[0, 1]) < 0.07  # 3 / sqrt(2048)


@pytest.mark.parametrize(
  ("module", "inputs", "name", "first"),
  [
    (
      segmentor.Segmentor(base_width=2, depth=1),
      (IMAGE,),
      "B",
      [0.1637432, 0.3345467, -0.09717301],
    ),
    (
      discriminator.Discriminator(base_width=2, depth=1),
      (IMAGE, IMAGE),
      "stage1",
      [0.09824592, 0.200728, -0.0583038],
    ),
  ],
)
def test_init_returns_what_training_starts_from(module, inputs, name, first):
  """Values that commit a8cc4b2 started from; the same for `init_player`."""
  key = jax.random.key(7)
  output, variables = jax.jit(
    lambda: module.init_with_output(key, *inputs, train=False)
  )()
  kernel = variables["params"][name]
  kernel = kernel.get("conv1", kernel)["kernel"]
  np.testing.assert_allclose(np.ravel(kernel)[:3], first, rtol=1e-5)
  player = jax.jit(
    lambda: state_lib.init_player(
      module, *inputs, key=key, optimizer=optax.sgd(0.1)
    )
  )()
  jax.tree.map(
    np.testing.assert_array_equal, player.params, variables["params"]
  )
  applied = module.apply(variables, *inputs, train=False)
  np.testing.assert_allclose(output.logits, applied.logits, atol=1e-6)
