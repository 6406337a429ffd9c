"""Networks by the bridge and by XLA: the same outputs and gradients."""

import jax
import numpy as np
import pytest

from apppau_jax.models import blocks, segmentor
from apppau_jax.onednn import bridge, operations

pytestmark = pytest.mark.skipif(
  bool(bridge.missing()), reason=f"no oneDNN: {bridge.missing()}"
)


def test_a_network_has_the_same_gradients():
  image = np.random.default_rng(0).normal(size=(2, 16, 16, 1))
  image = image.astype(np.float32)
  nets = [
    segmentor.from_preset("ppau_unet", base_width=4, depth=1, operations=by)
    for by in (blocks.XLA, operations.OPERATIONS)
  ]
  rng = np.random.default_rng(1)
  variables = jax.tree.map(
    lambda leaf: np.float32(0.1 + rng.normal(size=leaf.shape) / 5),
    jax.eval_shape(lambda: nets[0].init(jax.random.key(0), image, train=False)),
  )

  def gradients(net):
    def loss(params):
      out, _ = net.apply(
        {**variables, "params": params},
        image,
        train=True,
        mutable=["batch_stats"],
      )
      return jax.nn.sigmoid(out.logits).mean()

    return jax.jit(jax.grad(loss))(variables["params"])

  expected, found = map(gradients, nets)
  total = np.sqrt(sum(float((x**2).sum()) for x in jax.tree.leaves(expected)))
  for a, b in zip(jax.tree.leaves(expected), jax.tree.leaves(found)):
    np.testing.assert_allclose(a, b, rtol=0, atol=1e-4 * total)
